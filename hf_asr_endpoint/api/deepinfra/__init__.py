"""DeepInfra's native API for speech recognition: forms and JSON to options, transcriptions to its bodies."""
