"""The demo: real work on real files by a real worker, with a proof that nothing was lost."""
