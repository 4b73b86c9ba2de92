"""The app's server: one worker owns the models, browsers' tabs are sessions of jobs."""
