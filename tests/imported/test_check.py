"""What is wrong with a net of the user's is one line before any training."""

import sys
from pathlib import Path

import pytest
from helpers.champion import run_stage
from helpers.workplace import edit, stage

from cifar_tricks.base.errors import UserError

HEAD = "import sys\nimport torch\nfrom torch import nn\n\n"
CLASS = f"""{HEAD}
class Net(nn.Module):
    def __init__(self, width=2):
        super().__init__()
        self.head = nn.Linear(3072, 10)
    def forward(self, x):
        return self.head(x.view(len(x), -1))
"""
PLACE = "params.yaml: models.mine"


def net(before: str, after: str) -> str:
    assert before in CLASS
    return CLASS.replace(before, after)


# What stands in nets.py, what in params.yaml, and what is told.
MISTAKES = {
    "no module": ("", "nowhere.Net", f"{PLACE}.target = nowhere.Net: there is no nowhere.py in"),
    "no class": (CLASS, "nets.Nett", f"{PLACE}: nets.Nett cannot be imported: AttributeError"),
    "no path": (CLASS, "nets", f"{PLACE}.target = 'nets': valid: an import path"),
    "no Python": ("def", "nets.Net", f"{PLACE}.target = nets.Net: nets.py, line 1: not Python"),
    "not callable": ("Net = 3\n", "nets.Net", "nets.Net is a int, not a class or function"),
    "an error": (
        "raise OSError('no')\n",
        "nets.Net",
        "cannot be imported: OSError: no",
    ),
    "exits": ("raise SystemExit(0)\n", "nets.Net", "cannot be imported: SystemExit: 0"),
    "lacks a package": ("import nopackage\n", "nets.Net", "ModuleNotFoundError: No module named"),
    "no module of PyTorch": ("Net = dict\n", "nets.Net", "returns a dict, not a torch.nn.Module"),
    "an argument": (
        CLASS,
        "nets.Net, arguments: {widht: 2}",
        "raises TypeError: Net.__init__() got",
    ),
    "another key": (CLASS, "nets.Net, argument: {}", "did you mean arguments?"),
    "not JSON": (CLASS, "nets.Net, arguments: {width: .nan}", f"{PLACE}.arguments.width"),
    "another size": (
        net("3072", "784"),
        "nets.Net",
        "(2, 3, 32, 32) it raises RuntimeError",
    ),
    "a batch": (net("len(x), -1", "2, -1"), "nets.Net", "for images (3, 3, 32, 32) it "),
    "classes": (
        "",
        "timm.create_model, arguments: {model_name: resnet10t}",
        "returns float32 (2, 1000), not logits (2, 10)",
    ),
    "a tuple": (net("return self", "return x, self"), "nets.Net", "it returns a tuple, not logits"),
    "integers": (net("-1))", "-1)).long()"), "nets.Net", "it returns int64 (2, 10), not logits"),
    "nothing to train": ("", "torch.nn.Flatten", "torch.nn.Flatten has no parameters to train"),
    "frozen": (
        net("10)\n", "10).requires_grad_(False)\n"),
        "nets.Net",
        "nets.Net has no parameters to train",
    ),
    "detached": (net("-1))", "-1)).detach()"), "nets.Net", "its logits have no gradient"),
    "what an answer leaves": (
        net("10)\n", "10); self.kept = 1\n").replace(
            "        return self.head(x.view(len(x), -1))",
            "        if not self.training: self.kept = torch.ones(10)\n"
            "        return self.head(x.view(len(x), -1)) * self.kept",
        ),
        "nets.Net",
        "RuntimeError: Inference tensors cannot be saved for backward",
    ),
    "pretrained": (
        "",
        "timm.create_model, arguments: {model_name: resnet10t, pretrained: true}",
        "timm.create_model asks huggingface.co for something: initial weights come from the seed",
    ),
    "complex": (net("10)\n", "10).to(torch.complex64)\n"), "nets.Net", "torch.complex64, not"),
    "lazy": (net("Linear(3072", "LazyLinear(10) or (0"), "nets.Net", "lazy layers: give them"),
    "double": (net("10)\n", "10).double()\n"), "nets.Net", "head.weight is torch.float64"),
    "no seed": (
        net("10)\n", "10); torch.seed(); self.head.reset_parameters()\n"),
        "nets.Net",
        "begins with others each time",
    ),
    "one seed": (
        net("        self.head", "        torch.manual_seed(3); self.head"),
        "nets.Net",
        "begins with the same weights for every seed",
    ),
    "a file": (
        net("10)\n", "10); open('weights.bin').close()\n"),
        "nets.Net",
        "weights.bin, which neither DVC",
    ),
    "a file when imported": (
        CLASS + "\nopen('weights.bin').close()\n",
        "nets.Net",
        "weights.bin, which neither DVC",
    ),
    "a module elsewhere": (
        CLASS + "\nsys.path.insert(0, '../elsewhere')\nimport strange\n",
        "nets.Net",
        "strange.py, which neither DVC",
    ),
    "a hidden import": (
        CLASS + "\n__import__('hidden')\n",
        "nets.Net",
        "hidden.py, which neither DVC",
    ),
    "a name that is taken": (CLASS, "random.Net", "random.py has the name of an installed module"),
}


@pytest.mark.fault("params", tried=len(MISTAKES))
def test_a_mistake_is_told_before_any_training(own_nets: Path) -> None:
    Path("../elsewhere").mkdir()
    for path in ("../elsewhere/strange.py", "hidden.py", "weights.bin"):
        Path(path).write_text("")
    text = Path("params.yaml").read_text()
    for name, (source, entry, message) in MISTAKES.items():
        module = Path("random.py" if entry.startswith("random") else "nets.py")
        module.write_text(source)
        old = "my_nets.TinyNet, arguments: {width: 4}"
        Path("params.yaml").write_text(text.replace(old, entry).replace("net: {width: 8}", ""))
        with pytest.raises(UserError) as told:
            run_stage("check")
        line = str(told.value)
        assert message in line and line.isprintable() and PLACE in line, (name, line)
        module.unlink()
        for imported in ("nets", "strange", "hidden"):
            sys.modules.pop(imported, None)
    assert not Path("data/recipes").exists() and not Path("runs").exists()


def test_a_link_that_leads_outside_is_refused(own_nets: Path) -> None:
    Path("my_nets.py").rename("../my_nets.py")
    Path("my_nets.py").symlink_to("../my_nets.py")
    with pytest.raises(UserError, match=r"my_nets.py is a link that leads out of"):
        run_stage("check")


def test_each_door_ends_with_one_line_and_code_2(own_nets: Path) -> None:
    edit("{width: 4}", "{widht: 4}")
    for words in (
        ["stages/train.py", "mine-baseline"],
        ["-m", "cifar_tricks.commands.record", "mine-baseline", "0"],
    ):
        process = stage(*words)
        output, _ = process.communicate()
        assert process.returncode == 2, output
        assert output.startswith(
            "error: params.yaml: models.mine: my_nets.TinyNet raises TypeError"
        )
        assert output.count("\n") == 1
    assert not Path("runs").exists() and not Path("records").exists()
