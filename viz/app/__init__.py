"""The app's page: plain data to Dash components. Never a model, never a file."""
