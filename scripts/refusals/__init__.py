"""SGLang's argument checks, followed through its source: see ``launch_refusals.py`` beside this folder."""
