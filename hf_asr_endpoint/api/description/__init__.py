"""The OpenAPI document, made from what each dialect says of itself (`api/described.py`), and the page for it.

Source: https://spec.openapis.org/oas/v3.1.1.html. It knows no dialect by name.
"""
