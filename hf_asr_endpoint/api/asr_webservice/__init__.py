"""The API of whisper-asr-webservice, which Bazarr and other subtitle tools use: `/asr` and `/detect-language`.

Source: `app/webservice.py` and `app/asr_models` of https://github.com/ahmetoner/whisper-asr-webservice, 1.9.1.
"""
