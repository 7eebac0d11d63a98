"""The user-code side of a worker: the template that imports the app, and the children that run its tasks."""
