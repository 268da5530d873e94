// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/corpus_source.hpp"
#include "recipe/adaptation.hpp"
#include "recipe/generation.hpp"
#include "recipe/guard.hpp"
#include "recipe/iterate.hpp"
#include "recipe/regularisation.hpp"
#include "recipe/sampling.hpp"
#include "recipe/slurm.hpp"

// A recipe as plain data: one struct a section, defaults beside the fields. Paths are as the person
// wrote them, relative to the recipe's folder; resolve() in load.hpp makes them absolute.
namespace polyphase::recipe {

struct Checkpoint {
  std::int64_t every_steps = 200;  // 0: only at the end of a phase
  std::int64_t keep = 3;           // newest complete checkpoints kept in a phase
  std::int64_t keep_best = 0;      // and those of so many of its best evaluations
};

enum class TokenizerKind { kUnigram, kBpe, kWord, kChar };

enum class WhiteSpace {
  kCollapse,  // runs of white space are one blank, none at the ends; characters normalised (NFKC)
  kKeep       // every character stays: what is encoded decodes to itself
};

struct Tokenizer {
  TokenizerKind kind = TokenizerKind::kUnigram;
  std::int64_t vocab_size = 8192;  // pieces, special ones among them
  // Names of the corpora it is trained on; empty: all text corpora, else all.
  std::vector<std::string> corpora;
  bool lowercase = false;
  WhiteSpace whitespace = WhiteSpace::kCollapse;
  bool byte_fallback = false;  // unknown characters become pieces of one byte instead of <unk>
  std::string model;           // an existing SentencePiece model instead of training one
};

using polyphase::CorpusKind;

struct Corpus {
  std::string name;
  CorpusKind kind = CorpusKind::kText;
  std::optional<CorpusFormat> format;  // format_of() in load.hpp; else the kind's default
  // `files` is the training part of a text corpus; valid and test may be given. Without valid
  // files, the validation part is `valid_fraction` of the documents, chosen by a hash of the
  // document; of a raw text, the last valid_fraction of the bytes of every file.
  std::vector<std::string> files;  // text; written as train, it is moved here
  std::vector<std::string> train, valid, test;
  double valid_fraction = 0.01;                // of a text corpus without valid files
  TextLayout layout = TextLayout::kSentences;  // text; raw needs tokenizer.whitespace keep
  bool header = false;                         // tsv, csv: the first line names the columns
  CorpusColumns columns;
  BadLines bad_lines = BadLines::kRefuse;
  // Classes and tags are those of the training part.
  std::int64_t max_train_samples = 0;  // 0: all; else a keyed choice of that many
  std::string made_by;                 // instead of files: the phase that makes its training part
};

// Decoder, encoder, encoder and decoder; family_defaults() in load.hpp has each family's values.
enum class Family { kGpt, kBert, kT5 };
enum class NormPlacement { kPre, kPost };
enum class NormalisationKind { kLayer, kRms };
enum class Positions { kLearned, kSinusoidal, kRotary, kRelative, kNone };
// Fixed: a normal distribution of init_std. Scaled residual: weights that write to the residual
// stream divided by the square root of their number (GPT-2). Fan in: as T5 initialises.
enum class Initialisation { kFixed, kScaledResidual, kFanIn };

struct Model {
  Family family = Family::kBert;
  std::int64_t num_layers = 4;
  std::int64_t num_decoder_layers = 0;  // t5 only; 0: as many as num_layers
  std::int64_t width = 256;
  std::int64_t num_heads = 4;
  std::int64_t num_key_heads = 0;  // heads of keys and values; 0: num_heads
  std::int64_t head_width = 0;     // 0: width / num_heads
  std::int64_t feed_forward = 0;   // F; 0: 4 × width
  std::int64_t max_tokens = 128;   // of a sequence
  Positions positions = Positions::kLearned;
  double rotary_theta = 10000.0;
  std::int64_t relative_buckets = 32, relative_max_distance = 128;
  bool segments = true;  // an embedding for first and second text
  bool matches = false;  // and of a pair's tokens for whether the other text holds them too
  NormPlacement norm = NormPlacement::kPost;
  NormalisationKind norm_kind = NormalisationKind::kLayer;
  double norm_epsilon = 1e-12;
  std::string activation = "gelu";  // gelu, gelu_tanh, relu, silu; gated: swiglu, geglu
  bool biases = true;               // of products
  bool tied_output = true;          // a language model's output is the token table
  bool scaled_scores = true;        // attention scores divided by sqrt(head width)
  Initialisation initialisation = Initialisation::kFixed;
  double init_std = 0.02;
  // Rates of dropout, which a phase may override: of what a sublayer adds, of attention
  // probabilities, of embeddings and in front of a task's head (these two: else `dropout`).
  double dropout = 0.1;
  double attention_dropout = 0.1;
  std::optional<double> embedding_dropout, head_dropout;
  std::optional<double> layer_drop;  // of a phase's steps, the share that passes over a layer
};

// ZeRO (Rajbhandari et al., 2020): of the optimizer's state, which is its first stage, each
// data-parallel rank keeps and updates a share; of gradients too, which is its second.
enum class Shard { kNone, kOptimizer, kGradients };

struct Parallel {
  // Ranks that share the work inside of layers, and stages of neighbouring layers, each with so
  // many ranks: together they share one copy of the model. All other ranks are data parallel.
  std::int64_t tensor = 1, pipeline = 1;
  // Runs of neighbouring layers that each stage has (Narayanan et al., 2021, section 2.2.2).
  std::int64_t interleave = 1;
  // Whether those ranks divide, beside the products, the rows of all that lies between them
  // (Korthikanti et al., 2022, section 4.2.2).
  bool sequence = false;
  Shard shard = Shard::kNone;  // what data-parallel ranks divide among them

  std::int64_t ranks_of_copy() const { return tensor * pipeline; }
};

enum class Precision { kF32, kBf16 };

// What a layer keeps from its forward to its backward pass: all that the latter needs; all but what
// the feed-forward layer is wide in; nothing but its input. The rest is made again, which changes
// memory and time and never a bit of the result.
enum class Recompute { kNone, kSelective, kFull };

enum class TaskKind {
  kClassification,
  kRegression,
  kMultiLabel,
  kTagging,
  kQuestionAnswering,
  kGeneration
};
inline bool is_of_sequences(TaskKind kind) {
  return kind == TaskKind::kClassification || kind == TaskKind::kRegression ||
         kind == TaskKind::kMultiLabel;
}
enum class Pooling { kFirst, kMean, kLast, kPair };
enum class TaskHead { kSoftmax, kCrf };

// What a head is told of the tokens beside what the layers made of them (objective/ngram_bag.hpp).
struct Ngrams {
  std::int64_t order = 2;  // tokens of the longest ones
  std::int64_t buckets = 65536;
};

struct Task {
  TaskKind kind = TaskKind::kClassification;
  Pooling pooling = Pooling::kMean;             // tasks on whole sequences
  std::optional<Ngrams> ngrams;                 // tasks on whole sequences
  TaskHead head = TaskHead::kSoftmax;           // crf: tagging only
  std::map<std::string, double> class_weights;  // classification: by label; the others weigh 1
};

// A phase's steps begin small: the number of sequences doubles every so many steps.
struct BatchRamp {
  std::int64_t from = 0;         // sequences of the first steps; required
  std::int64_t every_steps = 0;  // required
};

struct Batch {
  std::int64_t sequences = 32;  // of a step, whole job; with a ramp, of the last steps
  // Of one forward pass on one rank; 0: micro_batch_of() in load.hpp chooses.
  std::int64_t micro_batch = 0;
  std::optional<BatchRamp> ramp;

  std::int64_t fewest_sequences() const { return ramp ? ramp->from : sequences; }
};

struct Schedule {
  // After the warm-up: constant, linear, cosine, inverse_sqrt or wsd (optimizer/schedule.hpp).
  std::string kind = "linear";
  std::int64_t warmup_steps = 0;
  double final_fraction = 0.0;  // of the learning rate: where the curve ends
  std::int64_t cycles = 1;      // cosine: so many half waves, each from the full rate
  double decay_fraction = 0.1;  // wsd: share of the phase's steps in which the rate falls
};

// What is different for the parameters whose names match one of the patterns.
struct ParameterGroup {
  std::string name;
  std::vector<std::string> match;  // '*' stands for any text, '?' for any character
  double learning_rate_scale = 1.0;
  std::optional<double> weight_decay;  // instead of the optimizer's, on biases and norms too
};

// What becomes of the state of the phase before's optimizer: nothing; it goes on, by name, where
// that was of the same kind; and of another kind, what both have in common goes on.
enum class StateHandover { kReset, kKeep, kConvert };

// Defaults are those of optimizer_defaults(kind); a kind has only some of the keys.
struct Optimizer {
  std::string kind = "adamw";
  double learning_rate = 5e-4;
  double weight_decay = 0.01;  // never on biases and norms, unless a group says so
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double momentum = 0.9;
  bool nesterov = false;
  double max_grad_norm = 1.0;   // 0: no clipping
  double max_grad_value = 0.0;  // of each element, before the norm; 0: no clipping
  double layer_decay = 1.0;     // factor of the learning rate from a layer to the one below it
  std::vector<ParameterGroup> groups;  // the first that matches a name counts
  StateHandover state = StateHandover::kReset;
  Precision state_precision = Precision::kF32;  // that moments are kept in
  Schedule schedule;
};

// Gradual unfreezing: training starts with what lies above the layers.
struct Unfreeze {
  std::int64_t from_top = 1;     // layers that join each time, from the top; last the embeddings
  std::int64_t every_steps = 0;  // required
};

struct Early {
  std::string metric;         // for instance valid.loss, valid.accuracy, valid.f1
  std::int64_t patience = 2;  // evaluations without improvement
  bool keeps_best = false;    // the phase's result is its best evaluated checkpoint, not its last
};

struct Stop {  // exactly one of steps and epochs
  std::optional<std::int64_t> steps;
  std::optional<std::int64_t> epochs;
  std::optional<Early> early;
};

struct Evaluate {
  // 0: at the end of each epoch, or ten times in a phase counted in steps.
  std::int64_t every_steps = 0;
  std::int64_t max_samples = 0;  // of the validation part; 0: all
};

struct Phase {
  std::string name;
  std::string from;                          // name of an earlier phase, or
  std::optional<OtherRun> from_run;          // a phase of another run; neither: from scratch
  std::map<std::string, double> objectives;  // pretraining: names (goals.hpp) and their weights
  std::optional<Task> task;                  // exactly one of objectives, task and
  std::optional<Generate> generate;          // making a corpus, which is all the phase does
  std::map<std::string, double> data;        // corpora with their weights, in the order of names
  Batch batch;
  Optimizer optimizer;
  std::vector<std::string> freeze;  // patterns of parameters that are not trained
  std::optional<Unfreeze> unfreeze;
  Adaptation adaptation;  // its own depth, a teacher, low-rank additions
  Stop stop;
  Evaluate evaluate;
  double mask_fraction = 0.15;  // of tokens: masked language model and span corruption
  bool whole_words = false;     // masked language model: all pieces of a word or none
  double span_tokens = 3.0;     // span corruption: mean length of a span
  double label_smoothing = 0;   // of language models, classification and softmax tagging
  std::optional<double> dropout, attention_dropout;
  Regularisation regularisation;
  std::optional<std::int64_t> max_tokens;  // of a sequence in this phase; at most model.max_tokens
  // 0: all; else a keyed choice of that many of each corpus, of those that pass the filter.
  std::int64_t max_train_samples = 0;
  Sampling sampling;
  std::optional<Guard> guard;
  std::optional<Gate> gate;
  std::optional<SlurmJob> slurm;

  bool starts_anew() const { return from.empty() && !from_run; }
};

struct Limits {
  // Both are written as seconds or [HH:]MM:SS.
  double wall_time_seconds = 0;    // of one job; 0: none
  double watchdog_seconds = 1800;  // a job in which a rank does nothing for so long ends; 0: never
};

struct Recipe {
  std::string name;
  std::uint64_t seed = 1;
  std::string run_dir;  // default runs/NAME; relative to the working directory
  std::string folder;  // what relative paths of files start from; default: the recipe file's folder
  Checkpoint checkpoint;
  Tokenizer tokenizer;
  std::vector<Corpus> corpora;  // in the order of the recipe
  Model model;
  Parallel parallel;
  Precision precision = Precision::kF32;
  Recompute recompute = Recompute::kNone;
  Limits limits;
  std::optional<Slurm> slurm;
  std::vector<Phase> phases;  // in the order of the recipe
  std::optional<Iterate> iterate;
  // Key path → file:line:column, for messages only; never compared or written.
  std::map<std::string, std::string> places;
};

}  // namespace polyphase::recipe
