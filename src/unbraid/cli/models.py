"""`unbraid models`."""

from __future__ import annotations

from unbraid.cli.app import app


@app.command()
def models() -> None:
    """List the models at hand, with licence and training data."""
    from unbraid.models import list_models

    for model in list_models():
        print(model.name)
        print(f"  stems         {', '.join((*model.targets, model.residual))}")
        print(f"  architecture  {model.architecture}, {model.parameters / 1e6:.2f} M parameters")
        print(f"  sample rate   {model.sample_rate} Hz")
        print(f"  licence       {model.licence}")
        print(f"  trained on    {model.data}")
        print(f"  sha-256       {model.sha256}")
        print(f"  file          {model.path}")
