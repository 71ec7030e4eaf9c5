"""The variables that the tools read and that could redirect files, break a run or change a result.

:mod:`cifar_tricks.base.surroundings` applies the rules; ``python -m cifar_tricks.base.variables``
prints them as the table in docs/decisions/environment.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
OF_A_STAGE = ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE")
TEMPORARY = ("TMPDIR", "TEMP", "TMP")


@dataclass(frozen=True)
class Rule:
    """What becomes of some variables.

    Args:
        names: separated by spaces; ``*`` stands for any end.
        action: honoured; told: honoured, and one line says so; cleared: taken away; set: to the
            project's own value; checked: honoured where the value makes sense.
        why: in a few words, for the table in docs/decisions/environment.md.
    """

    names: str
    action: Literal["honoured", "told", "cleared", "set", "checked"]
    why: str


# The first that fits a name counts. Variables that fit none are passed on as they are.
RULES = (
    Rule("PYTHONPATH", "set", "this checkout's `src`: foreign packages would shadow pinned ones"),
    Rule("PYTHONUTF8", "set", "files and messages are UTF-8 in any locale"),
    Rule(
        "PYTHONHASHSEED PYTHONSAFEPATH PYTHONNOUSERSITE PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE "
        "PYTHONPYCACHEPREFIX PYTHONFAULTHANDLER PYTHON_COLORS",
        "honoured",
        "no output depends on them",
    ),
    Rule(
        "PYTHON*", "cleared", "they break imports (`PYTHONWARNINGS=error`), drop checks, redirect"
    ),
    Rule(
        " ".join(THREADS),
        "set",
        "1, until a training sets `threads` of params.yaml: the number changes rounding",
    ),
    Rule(
        "ATEN_CPU_CAPABILITY ONEDNN_MAX_CPU_ISA ONEDNN_CPU_ISA_HINTS DNNL_MAX_CPU_ISA "
        "DNNL_CPU_ISA_HINTS MKL_ENABLE_INSTRUCTIONS MKL_CBWR "
        "NPY_DISABLE_CPU_FEATURES NPY_ENABLE_CPU_FEATURES GLIBC_TUNABLES",
        "told",
        "they choose the processor's instructions, and so the rounding, as another machine would",
    ),
    Rule("OPENBLAS_CORETYPE", "honoured", "of numpy and scipy, whose results are rounded"),
    Rule(
        "OMP_* GOMP_* KMP_* MKL_* OPENBLAS_* GOTO_* BLIS_* VECLIB_* NUMEXPR_* ONEDNN_* DNNL_*",
        "cleared",
        "they limit threads or lower the precision of sums without a word",
    ),
    Rule("CUBLAS_WORKSPACE_CONFIG", "set", "`:4096:8`: with it cuBLAS repeats its sums"),
    Rule(
        "TORCHINDUCTOR_CACHE_DIR",
        "set",
        "`.dvc/tmp/torchinductor`: PyTorch makes the folder when it is imported, and leaves it",
    ),
    Rule(
        "NVIDIA_TF32_OVERRIDE CUBLAS_* CUBLASLT_* CUDNN_* TORCH_* TORCHINDUCTOR_*",
        "cleared",
        "they change precision or algorithms; `precision` in params.yaml decides",
    ),
    Rule("CUDA_* NVIDIA_* PYTORCH_*", "honoured", "which GPU and how its memory is used"),
    Rule("DVC_ROOT", "checked", "the main checkout of a stage in a temporary copy, or cleared"),
    Rule(
        " ".join(OF_A_STAGE),
        "checked",
        "DVC sets them for a stage; elsewhere an outer experiment left them: cleared",
    ),
    Rule("DVC_DAEMON* DVC_TEST", "cleared", "DVC would take itself for its own helper"),
    Rule(
        "DVC_NO_ANALYTICS DO_NOT_TRACK MLFLOW_DISABLE_TELEMETRY",
        "set",
        "nothing is reported to anybody",
    ),
    Rule("DVC_SITE_CACHE_DIR", "set", "`.dvc/tmp/site-cache`, not a folder of all users"),
    Rule("DVC_*", "honoured", "the user's own configuration folders, remotes and Studio"),
    Rule(
        "MLFLOW_TRACKING_URI MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD "
        "MLFLOW_TRACKING_TOKEN MLFLOW_TRACKING_AUTH MLFLOW_TRACKING_AWS_SIGV4 "
        "MLFLOW_TRACKING_INSECURE_TLS MLFLOW_TRACKING_SERVER_CERT_PATH "
        "MLFLOW_TRACKING_CLIENT_CERT_PATH MLFLOW_WORKSPACE MLFLOW_S3_* MLFLOW_GCS_* MLFLOW_HTTP_* "
        "MLFLOW_KERBEROS_* MLFLOW_MYSQL_* MLFLOW_BOTO_* MLFLOW_SQLALCHEMYSTORE_* "
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT MLFLOW_LOGGING_LEVEL",
        "honoured",
        "where the store is and how one gets in",
    ),
    Rule(
        "MLFLOW_* _MLFLOW_*",
        "cleared",
        "an outer run, experiment, registry or server that is not this study's",
    ),
    Rule(
        "GIT_DIR GIT_WORK_TREE GIT_IMPLICIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR "
        "GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_PREFIX "
        "GIT_GRAFT_FILE GIT_SHALLOW_FILE GIT_NO_REPLACE_OBJECTS GIT_REPLACE_REF_BASE "
        "GIT_INTERNAL_SUPER_PREFIX GIT_QUARANTINE_PATH GIT_TEMPLATE_DIR GIT_DEFAULT_HASH",
        "cleared",
        "a git hook sets them for its own repository",
    ),
    Rule("GIT_*", "honoured", "who commits, how to log in, `GIT_CONFIG_*`, limits of the search"),
    Rule("MPLBACKEND", "set", "`agg`: figures are files"),
    Rule("MPLCONFIGDIR", "set", "`.dvc/tmp/matplotlib`: its list of fonts; nobody's matplotlibrc"),
    Rule(
        "FONTCONFIG_*",
        "honoured",
        "charts are drawn without the system's fonts (`figures/no_fonts.conf`)",
    ),
    Rule("MATPLOTLIBRC", "cleared", "figures have one look"),
    Rule("SOURCE_DATE_EPOCH", "cleared", "no output has a date; NumPy fails where it is no number"),
    Rule("TQDM_*", "cleared", "defaults that its callers here and in DVC do not expect"),
    Rule("HOME", "checked", "the account's or `.dvc/tmp/home` where it is no folder one may enter"),
    Rule("USER LOGNAME", "checked", "`uid-<number>` where nothing names the account"),
    Rule(
        "TMPDIR TEMP TMP XDG_*", "checked", "cleared unless absolute; temporary folders must exist"
    ),
    Rule("SHELL PATH", "honoured", "stages run the project's own interpreter whatever they are"),
    Rule(
        "LANG LC_* LANGUAGE TZ COLUMNS LINES TERM NO_COLOR FORCE_COLOR CI",
        "honoured",
        "they change messages, no output",
    ),
    Rule(
        "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy "
        "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR PIP_* UV_* npm_config_*",
        "honoured",
        "the way to the network; where it fails, the message of the source says so",
    ),
)


def action(name: str) -> str:
    """What becomes of a variable."""
    return next((one.action for one in RULES if fits(name, one.names)), "honoured")


def fits(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def rules_table() -> str:
    """The rules as a table in Markdown."""
    rows = (f"| {_code(one.names)} | {one.action} | {one.why} |" for one in RULES)
    return "\n".join(["| variables | | why |", "|---|---|---|", *rows]) + "\n"


def _code(names: str) -> str:
    return " ".join(f"`{name}`" for name in names.split())


if __name__ == "__main__":
    print(rules_table(), end="")
