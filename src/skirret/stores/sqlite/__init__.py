"""The embedded server: one SQLite file in which many processes meet, its layout, its lock and its bells.

`location` says where the file is, `files` makes it, `layout` and ``schema.sql`` say what is in it, `store` runs
transactions on it under `writelock`, `forking` keeps connections from crossing a fork, `bells` wakes who waits,
`results` writes results, `faults` puts errors into words.
"""
