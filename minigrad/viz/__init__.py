"""Pictures of the engine's real graph."""
