// SPDX-License-Identifier: Apache-2.0
#include "recipe/schema.hpp"

#include "recipe/adaptation_schema.hpp"
#include "recipe/generation_schema.hpp"
#include "recipe/goals.hpp"
#include "recipe/iterate_schema.hpp"
#include "recipe/load.hpp"
#include "recipe/optimizers.hpp"
#include "recipe/regularisation_schema.hpp"
#include "recipe/sampling_schema.hpp"
#include "recipe/slurm_schema.hpp"

// The schema: one description a section, one line a key. Reading, writing, the list of known keys
// and the messages all follow from it.
namespace polyphase::recipe {
// Static rather than in an unnamed namespace, where argument-dependent lookup from Section would
// not find them.
static void describe(Section& section, Checkpoint& checkpoint) {
  section.value("every_steps", checkpoint.every_steps, at_least(0));
  section.value("keep", checkpoint.keep, at_least(1));
  section.value("keep_best", checkpoint.keep_best, at_least(0));
}

static void describe(Section& section, Tokenizer& tokenizer) {
  section.choice("kind", tokenizer.kind,
                 {{"unigram", TokenizerKind::kUnigram},
                  {"bpe", TokenizerKind::kBpe},
                  {"word", TokenizerKind::kWord},
                  {"char", TokenizerKind::kChar}});
  section.value("vocab_size", tokenizer.vocab_size, at_least(8));
  section.value("corpora", tokenizer.corpora);
  section.value("lowercase", tokenizer.lowercase);
  section.choice("whitespace", tokenizer.whitespace,
                 {{"collapse", WhiteSpace::kCollapse}, {"keep", WhiteSpace::kKeep}});
  section.value("byte_fallback", tokenizer.byte_fallback);
  section.value("model", tokenizer.model);
}

static void describe(Section& section, CorpusColumns& columns) {
  section.value("text", columns.text);
  section.value("text_pair", columns.text_pair);
  section.value("label", columns.label);
  section.value("token", columns.token);
  section.value("tag", columns.tag);
  section.value("source", columns.source);
  section.value("target", columns.target);
  section.value("score", columns.score);
}

static void describe(Section& section, Corpus& corpus) {
  std::vector<std::pair<std::string, CorpusKind>> kinds;
  std::vector<std::string> names;
  for (const CorpusKindRow& row : corpus_kinds()) {
    kinds.emplace_back(row.name, row.kind);
    names.push_back(row.name);
  }
  section.require("kind", alternatives(names));
  section.choice("kind", corpus.kind, kinds);
  section.value("made_by", corpus.made_by);
  if (section.writing() && !corpus.made_by.empty()) {  // it has one other key
    section.value("max_train_samples", corpus.max_train_samples, at_least(0));
    return;
  }
  CorpusFormat format = corpus.format.value_or(default_format(corpus.kind));
  section.choice("format", format, corpus_formats());
  corpus.format = format;
  section.value("files", corpus.files);
  section.value("train", corpus.train);
  section.value("valid", corpus.valid);
  section.value("test", corpus.test);
  section.value("valid_fraction", corpus.valid_fraction, fraction_below_one());
  section.choice("layout", corpus.layout,
                 {{"sentences", TextLayout::kSentences}, {"raw", TextLayout::kRaw}});
  section.value("header", corpus.header);
  if (!section.writing() || corpus.columns != CorpusColumns{}) {
    section.section("columns", corpus.columns);
  }
  section.choice("bad_lines", corpus.bad_lines,
                 {{"refuse", BadLines::kRefuse}, {"skip", BadLines::kSkip}});
  section.value("max_train_samples", corpus.max_train_samples, at_least(0));
}

static void describe(Section& section, Model& model) {
  section.choice("family", model.family,
                 {{"gpt", Family::kGpt}, {"bert", Family::kBert}, {"t5", Family::kT5}});
  if (!section.writing()) model = family_defaults(model.family);
  section.value("num_layers", model.num_layers, at_least(1));
  section.value("num_decoder_layers", model.num_decoder_layers, at_least(0));
  section.value("width", model.width, at_least(1));
  section.value("num_heads", model.num_heads, at_least(1));
  section.value("num_key_heads", model.num_key_heads, at_least(0));
  section.value("head_width", model.head_width, at_least(0));
  section.value("feed_forward", model.feed_forward, at_least(0));
  section.value("max_tokens", model.max_tokens, at_least(8));
  section.choice("positions", model.positions,
                 {{"learned", Positions::kLearned},
                  {"sinusoidal", Positions::kSinusoidal},
                  {"rotary", Positions::kRotary},
                  {"relative", Positions::kRelative},
                  {"none", Positions::kNone}});
  section.value("rotary_theta", model.rotary_theta, positive());
  section.value("relative_buckets", model.relative_buckets, at_least(4));
  section.value("relative_max_distance", model.relative_max_distance, at_least(2));
  section.value("segments", model.segments);
  section.value("matches", model.matches);
  section.choice("norm", model.norm,
                 {{"pre", NormPlacement::kPre}, {"post", NormPlacement::kPost}});
  section.choice("norm_kind", model.norm_kind,
                 {{"layer", NormalisationKind::kLayer}, {"rms", NormalisationKind::kRms}});
  section.value("norm_epsilon", model.norm_epsilon, positive());
  section.choice("activation", model.activation,
                 {"gelu", "gelu_tanh", "relu", "silu", "swiglu", "geglu"});
  section.value("biases", model.biases);
  section.value("tied_output", model.tied_output);
  section.value("scaled_scores", model.scaled_scores);
  section.choice("initialisation", model.initialisation,
                 {{"fixed", Initialisation::kFixed},
                  {"scaled_residual", Initialisation::kScaledResidual},
                  {"fan_in", Initialisation::kFanIn}});
  section.value("init_std", model.init_std, positive());
  section.value("dropout", model.dropout, fraction_below_one());
  section.value("attention_dropout", model.attention_dropout, fraction_below_one());
  section.value("embedding_dropout", model.embedding_dropout, fraction_below_one());
  section.value("head_dropout", model.head_dropout, fraction_below_one());
  section.value("layer_drop", model.layer_drop, fraction_below_one());
}

static void describe(Section& section, Parallel& parallel) {
  section.value("tensor", parallel.tensor, at_least(1));
  section.value("pipeline", parallel.pipeline, at_least(1));
  section.value("interleave", parallel.interleave, at_least(1));
  section.value("sequence", parallel.sequence);
  section.choice(
      "shard", parallel.shard,
      {{"none", Shard::kNone}, {"optimizer", Shard::kOptimizer}, {"gradients", Shard::kGradients}});
}

static void describe(Section& section, Limits& limits) {
  section.duration("wall_time", limits.wall_time_seconds);
  section.duration("watchdog", limits.watchdog_seconds);
}

static void describe(Section& section, Ngrams& ngrams) {
  section.value("order", ngrams.order, at_least(1));
  section.value("buckets", ngrams.buckets, at_least(1));
}

static void describe(Section& section, Task& task) {
  section.require("kind", alternatives(task_names()));
  section.choice("kind", task.kind, task_words());
  section.choice("pooling", task.pooling,
                 {{"first", Pooling::kFirst},
                  {"mean", Pooling::kMean},
                  {"last", Pooling::kLast},
                  {"pair", Pooling::kPair}});
  section.section("ngrams", task.ngrams);
  section.choice("head", task.head, {{"softmax", TaskHead::kSoftmax}, {"crf", TaskHead::kCrf}});
  section.weights("class_weights", task.class_weights);
}

static void describe(Section& section, BatchRamp& ramp) {
  section.require("from", "sequences of the first steps");
  section.value("from", ramp.from, at_least(1));
  section.require("every_steps", "so many steps after each other, the batch doubles");
  section.value("every_steps", ramp.every_steps, at_least(1));
}

static void describe(Section& section, Batch& batch) {
  section.value("sequences", batch.sequences, at_least(1));
  section.value("micro_batch", batch.micro_batch, at_least(0));
  section.section("ramp", batch.ramp);
}

static void describe(Section& section, Schedule& schedule) {
  section.choice("kind", schedule.kind, {"constant", "linear", "cosine", "inverse_sqrt", "wsd"});
  section.value("warmup_steps", schedule.warmup_steps, at_least(0));
  section.value("final_fraction", schedule.final_fraction, fraction());
  if (schedule.kind == "cosine") section.value("cycles", schedule.cycles, at_least(1));
  if (schedule.kind == "wsd") section.value("decay_fraction", schedule.decay_fraction, fraction());
}

static void describe(Section& section, ParameterGroup& group) {
  section.require("match", "patterns of parameter names, such as \"*.norm.*\"");
  section.value("match", group.match);
  section.value("learning_rate_scale", group.learning_rate_scale, positive());
  section.value("weight_decay", group.weight_decay, at_least(0));
}

static void describe(Section& section, Optimizer& optimizer) {
  section.choice("kind", optimizer.kind, optimizer_names());
  if (!section.writing()) optimizer = optimizer_defaults(optimizer.kind);
  const OptimizerKeys keys = optimizer_keys(optimizer.kind);
  section.value("learning_rate", optimizer.learning_rate, positive());
  section.value("weight_decay", optimizer.weight_decay, at_least(0));
  if (keys.betas) section.value("beta1", optimizer.beta1, fraction_below_one());
  if (keys.betas) section.value("beta2", optimizer.beta2, fraction_below_one());
  if (keys.epsilon) section.value("epsilon", optimizer.epsilon, positive());
  if (keys.momentum) section.value("momentum", optimizer.momentum, fraction_below_one());
  if (keys.momentum) section.value("nesterov", optimizer.nesterov);
  section.value("max_grad_norm", optimizer.max_grad_norm, at_least(0));
  section.value("max_grad_value", optimizer.max_grad_value, at_least(0));
  section.value("layer_decay", optimizer.layer_decay, fraction_above_zero());
  if (!section.writing() || !optimizer.groups.empty()) {
    section.sections_by_name("groups", optimizer.groups);
  }
  section.choice("state", optimizer.state,
                 {{"reset", StateHandover::kReset},
                  {"keep", StateHandover::kKeep},
                  {"convert", StateHandover::kConvert}});
  const bool rounded = optimizer.state_precision != Precision::kF32;
  if (keys.state_precision && (!section.writing() || rounded)) {
    section.choice("state_precision", optimizer.state_precision,
                   {{"f32", Precision::kF32}, {"bf16", Precision::kBf16}});
  }
  section.section("schedule", optimizer.schedule);
}

static void describe(Section& section, Unfreeze& unfreeze) {
  section.value("from_top", unfreeze.from_top, at_least(1));
  section.require("every_steps", "so many steps after each other, further layers are trained");
  section.value("every_steps", unfreeze.every_steps, at_least(1));
}

static void describe(Section& section, Early& early) {
  section.require("metric", "for instance valid.loss");
  section.value("metric", early.metric);
  section.value("patience", early.patience, at_least(1));
  if (section.writing() && !early.keeps_best) return;
  section.choice("keep", early.keeps_best,
                 std::vector<std::pair<std::string, bool>>{{"last", false}, {"best", true}});
}

static void describe(Section& section, Stop& stop) {
  section.value("steps", stop.steps, at_least(1));
  section.value("epochs", stop.epochs, at_least(1));
  section.section("early", stop.early);
}

static void describe(Section& section, Evaluate& evaluate) {
  section.value("every_steps", evaluate.every_steps, at_least(0));
  section.value("max_samples", evaluate.max_samples, at_least(0));
}

static void describe(Section& section, Guard& guard) {
  section.value("spike", guard.spike, at_least(0));
  section.value("max_skipped", guard.max_skipped, at_least(0));
  section.value("max_rollbacks", guard.max_rollbacks, at_least(0));
  section.value("learning_rate_scale", guard.learning_rate_scale, fraction_above_zero());
  section.value("skip_data", guard.skip_data);
}

static void describe(Section& section, Phase& phase) {
  section.require("name", "a phase goes by its name");
  section.safe_name("name", phase.name);
  section.text_or_section("from", phase.from, phase.from_run);
  section.section("generate", phase.generate);
  if (section.writing() && phase.generate) {  // it has no other keys
    section.section("slurm", phase.slurm);
    return;
  }
  section.weights("objectives", phase.objectives);
  section.section("task", phase.task);
  if (!phase.generate) {
    section.require("data", "the corpora to train on, such as {name: 1.0}");
    section.require("stop", "steps or epochs");
  }
  section.weights("data", phase.data);
  section.section("batch", phase.batch);
  section.section("optimizer", phase.optimizer);
  section.value("freeze", phase.freeze);
  section.section("unfreeze", phase.unfreeze);
  describe(section, phase.adaptation);
  section.section("stop", phase.stop);
  section.section("evaluate", phase.evaluate);
  section.value("mask_fraction", phase.mask_fraction, fraction_between());
  section.value("whole_words", phase.whole_words);
  section.value("span_tokens", phase.span_tokens, at_least(1));
  section.value("label_smoothing", phase.label_smoothing, fraction_below_one());
  section.value("dropout", phase.dropout, fraction_below_one());
  section.value("attention_dropout", phase.attention_dropout, fraction_below_one());
  describe(section, phase.regularisation);
  section.value("max_tokens", phase.max_tokens, at_least(8));
  section.value("max_train_samples", phase.max_train_samples, at_least(0));
  describe_sampling(section, phase.sampling);
  section.section("guard", phase.guard);
  section.section("gate", phase.gate);
  section.section("slurm", phase.slurm);
}

static void describe(Section& section, Recipe& recipe) {
  section.require("name", "a run goes by its name");
  section.safe_name("name", recipe.name);
  section.value("seed", recipe.seed);
  section.value("run_dir", recipe.run_dir);
  section.value("folder", recipe.folder);
  section.section("checkpoint", recipe.checkpoint);
  section.section("tokenizer", recipe.tokenizer);
  section.require("corpora", "the data, by name");
  section.sections_by_name("corpora", recipe.corpora);
  section.section("model", recipe.model);
  section.section("parallel", recipe.parallel);
  section.choice("precision", recipe.precision,
                 {{"f32", Precision::kF32}, {"bf16", Precision::kBf16}});
  section.choice("recompute", recipe.recompute,
                 {{"none", Recompute::kNone},
                  {"selective", Recompute::kSelective},
                  {"full", Recompute::kFull}});
  section.section("limits", recipe.limits);
  section.section("slurm", recipe.slurm);
  section.require("phases", "what to train, one phase after the other");
  section.list_of_sections("phases", recipe.phases);
  section.section("iterate", recipe.iterate);
}

Recipe read_recipe(const Node& root, std::map<std::string, Place>& places, Faults& faults) {
  Recipe recipe;
  Section::Reading reading{faults, places};
  Section section = Section::reader(root, "", reading);
  describe(section, recipe);
  section.finish();
  return recipe;
}

Node write_recipe(const Recipe& recipe) {
  Recipe copy = recipe;  // a description takes fields that it may fill
  Node root = Node::map();
  Section section = Section::writer(root);
  describe(section, copy);
  return root;
}

}  // namespace polyphase::recipe
