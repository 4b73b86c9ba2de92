"""Organisms: models with a trigger put there on purpose, made from recipes and measured."""
