from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.store.credentials import holds_credential, refuse_credentials, refuse_in_config, without_credentials

WANDB = "0123456789abcdef0123456789abcdef01234567"
OPENAI = "sk-proj-" + "Ab1_" * 8
HUGGING_FACE = "hf_" + "aB3d" * 8


@pytest.mark.parametrize(
    ("argument", "variable"),
    [
        ("negatives.judge.api_key=abc", "negatives.judge.api_key_env"),
        (f"+negatives.judge.api_key={OPENAI}", "negatives.judge.api_key_env"),
        (f"negatives.judge.model={OPENAI}", "negatives.judge.api_key_env"),
        ("negatives.judge.extra_body={api_key: abc}", "negatives.judge.api_key_env"),
        ("negatives.judge.extra_body={headers: {Authorization: abc}}", "negatives.judge.api_key_env"),
        ("negatives.judge.base_url=http://user:pass@host/v1", "negatives.judge.api_key_env"),
        ("negatives.judge.base_url=http://:pass@host/v1", "negatives.judge.api_key_env"),
        ("negatives.judge.base_url=https://host/v1?api_key=abc", "negatives.judge.api_key_env"),
        ("reference.base_url=http://user:pass@host/v1", "reference.api_key_env"),
        (f"+logger.wandb.api_key={WANDB}", "WANDB_API_KEY"),
        (f"logger.wandb.name={WANDB}", "WANDB_API_KEY"),
        (f"'logger.wandb.tags={{key: {WANDB}}}'", "WANDB_API_KEY"),
        (f"teacher.token={HUGGING_FACE}", "HF_TOKEN"),
        (f"teacher.path={HUGGING_FACE}", "HF_TOKEN"),
        (f"{OPENAI}", "OPENAI_API_KEY"),
        ("name=Bearer abcdefgh12", "WANDB_API_KEY"),
        ("paths.password=abc", "WANDB_API_KEY"),
    ],
)
def test_a_key_on_the_command_line_is_refused_by_name_and_not_repeated(argument, variable):
    with pytest.raises(SigjepaError, match=variable) as raised:
        refuse_credentials(["experiment=exp2_1", argument])
    for secret in (WANDB, OPENAI, HUGGING_FACE, "abc", ":pass"):
        assert secret not in str(raised.value)


@pytest.mark.parametrize(
    "argument",
    [
        *(
            "experiment=exp2_1",
            "negatives.judge.api_key_env=MY_KEY",
            "negatives.judge.max_answer_tokens=200",
            "ids=key",
            "seed=0,1,2",
        ),
        f"teacher.revision={WANDB}",
        f"teacher.path=/models/snapshots/{WANDB}",
        "corpus.source.paths=[git@host:team/repository.git]",
        "negatives.judge.base_url=http://127.0.0.1:8000/v1",
        "negatives.judge.extra_body={chat_template_kwargs: {enable_thinking: false}}",
        "hydra.run.dir=outputs/x",
        "+negatives.judge.api_key=null",
        "teacher.max_signature_tokens=128",
        "negatives.fields={anchor_id: anchor, score_c: judgement.score_c}",
        "name=task-sk-learn",
        "teacher.pad_token=x",
    ],
)
def test_ordinary_words_are_none(argument):
    refuse_credentials([argument])


def test_what_an_environment_variable_holds_is_refused_anywhere(monkeypatch):
    monkeypatch.setenv("SERVICE_API_KEY", "plain-words-4711")
    with pytest.raises(SigjepaError):
        refuse_credentials(["name=the-plain-words-4711-run"])
    with pytest.raises(SigjepaError, match=r"'logger\.wandb\.notes'"):
        refuse_in_config({"logger": {"wandb": {"notes": "plain-words-4711"}}})
    assert without_credentials("a plain-words-4711 b") == "a <credential> b"


RANDOM = "wJalrXUtnFEMIK7MDENGbPxRfiCYzq"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "/plain+words/4711"),
        ("PGPASSWORD", "plain words"),
        ("DATABASE_DSN", "host=x user=y"),
        ("SERVICE_PAT", "plain-words-4711"),
        ("GOOGLE_APPLICATION_CREDENTIALS_JSON", "plain-words-4711"),
        ("ORDINARY", RANDOM),  # by its look
        ("OTHER", "glpat-0123456789abcdefghij"),  # by its prefix
    ],
)
def test_what_a_variable_of_any_such_name_or_look_holds_is_refused(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SigjepaError, match="notes") as raised:
        refuse_in_config({"notes": f"of {value}"})
    assert value not in str(raised.value)
    assert without_credentials(f"a {value} b") == "a <credential> b"


@pytest.mark.parametrize("variable", ["PGPASSWORD", "AWS_SESSION_TOKEN", "TEAM_CREDENTIALS", "SSH_PASSPHRASE"])
@pytest.mark.parametrize("form", ["${oc.env:%s}", "x-${oc.env:%s,none}", "${oc.decode:${oc.env:'%s'}}"])
def test_an_interpolation_of_such_a_variable_is_refused_whatever_it_holds(variable, form):
    with pytest.raises(SigjepaError, match=r"logger\.wandb\.name"):
        refuse_in_config({"logger": {"wandb": {"name": form % variable}}})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PWD", str(Path.cwd())),
        ("SIGJEPA_DATA_DIR", "/data/Team1/Runs-of-2026-11-25_with_seed0"),
        ("GIT_COMMIT", WANDB),
        ("EXPERIMENT", "hardneg_curriculum_2048d_Qwen2.5-Coder-3B"),
        ("KEYBOARD", "plain-words-4711"),
        ("MONKEY", "plain-words-4711"),
    ],
)
def test_ordinary_variables_are_none(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    refuse_in_config({"commit": value, "folder": f"${{oc.env:{variable}}}"})
    assert without_credentials(f"a commit={value} b") == f"a commit={value} b"


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"negatives": {"judge": {"api_key": "abc"}}}, "negatives.judge.api_key"),
        ({"negatives": {"judge": {"headers": [{"x": OPENAI}]}}}, "negatives.judge.headers.0.x"),
        ({"logger": {"wandb": {"api_key": WANDB}}}, "logger.wandb.api_key"),
    ],
)
def test_a_key_in_a_config_file_is_refused(config, key):
    with pytest.raises(SigjepaError, match=key):
        refuse_in_config(config)


def test_an_ordinary_config_passes():
    refuse_in_config(
        {"judge": {"api_key_env": "OPENAI_API_KEY", "api_key": None}, "teacher": {"revision": WANDB}, "n": [1, None]}
    )


@given(
    st.text(max_size=20),
    st.sampled_from([OPENAI, WANDB, HUGGING_FACE, "https://u:p4ss@host/x"]),
    st.text(max_size=20),
)
def test_a_masked_text_holds_none(before, secret, after):
    masked = without_credentials(f"{before} {secret} {after}")
    assert not holds_credential(masked)
    assert secret not in masked
