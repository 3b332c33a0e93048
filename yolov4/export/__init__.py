"""SavedModels for TensorFlow Serving: one signature, built for a CPU, a G4 or Inf1."""
