# The public names. Each is imported from its module when it is first used: see `__init__.py`.
from sigjepa.corpus.corpus import Corpus as Corpus
from sigjepa.data.batch import Batch as Batch
from sigjepa.data.datamodule import FunctionDataModule as FunctionDataModule
from sigjepa.data.training_data import TrainingData as TrainingData
from sigjepa.errors import SigjepaError as SigjepaError
from sigjepa.evaluation.metrics import Metric as Metric
from sigjepa.evaluation.metrics import PoolMetric as PoolMetric
from sigjepa.evaluation.metrics import RankMetric as RankMetric
from sigjepa.evaluation.ranks import Ranks as Ranks
from sigjepa.losses.infonce import InfoNCE as InfoNCE
from sigjepa.losses.loss import LossTerm as LossTerm
from sigjepa.losses.loss import Progress as Progress
from sigjepa.losses.token_smooth_l1 import TokenSmoothL1 as TokenSmoothL1
from sigjepa.models.prediction import Prediction as Prediction
from sigjepa.models.predictor import SigPredictor as SigPredictor
from sigjepa.models.token_predictor import TokenPredictor as TokenPredictor
from sigjepa.negatives.index.hard_negatives import HardNegatives as HardNegatives
from sigjepa.pipeline import prepare_data as prepare_data
from sigjepa.reporting.comparison import Comparison as Comparison
from sigjepa.reporting.comparison import compare as compare
from sigjepa.reporting.conclusions import conclusions as conclusions
from sigjepa.reporting.run import Run as Run
from sigjepa.reporting.runs import read_run as read_run
from sigjepa.reporting.runs import read_runs as read_runs
from sigjepa.runtime.compose import compose as compose
from sigjepa.serving.student import Student as Student
from sigjepa.teacher.encoder import FrozenTeacher as FrozenTeacher
from sigjepa.teacher.load import load_teacher as load_teacher
from sigjepa.teacher.shards import TeacherShards as TeacherShards
from sigjepa.train import run_experiment as run_experiment

__version__: str
