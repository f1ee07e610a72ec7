"""The Batch Orchestrator.

Owns: what a batch was registered with, and the state of its pipelines.
Hears: BatchEssaysReady, BatchReadinessTimeout, SpellcheckResult, ELSBatchPhaseOutcome.
Says: BatchEssaysRegistered, the spell-check command; for its smoke test EssayContentReady.
"""
