"""The search as a web service: ``python -m search.serve`` (docs/service.md).

``app`` the API, ``connections`` and ``guard`` who may call it and how much may be sent, ``submission`` what a client
hands in, ``reading`` its files, ``options`` which options it may set, ``jobs`` the searches in their folders,
``worker`` the process that runs one, ``status`` what the folders tell, and ``progress`` the journals, ``table`` how a
table is read, ``answering`` what models say about texts, ``page.html`` and its scripts a page over the API.
"""
