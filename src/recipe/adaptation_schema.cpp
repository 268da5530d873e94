// SPDX-License-Identifier: Apache-2.0
#include "recipe/adaptation_schema.hpp"

namespace polyphase::recipe {

void describe(Section& section, OtherRun& other) {
  section.require("run", "the folder of the other run, from the recipe's folder");
  section.value("run", other.run);
  section.value("phase", other.phase);
}

static void describe(Section& section, Distil& distil) {
  section.require("teacher", "the earlier phase whose model is learnt from");
  section.text_or_section("teacher", distil.teacher, distil.teacher_run);
  section.value("temperature", distil.temperature, positive());
  section.value("weight", distil.weight, fraction());
  section.value("hidden", distil.hidden, at_least(0));
  section.value("attention", distil.attention, at_least(0));
  section.choice("layers", distil.layers,
                 {{"last", MatchedLayers::kLast}, {"all", MatchedLayers::kAll}});
  section.value("kept", distil.kept);
}

static void describe(Section& section, Lora& lora) {
  section.value("rank", lora.rank, at_least(1));
  section.value("alpha", lora.alpha, positive());
  section.require("match", "patterns of weights of products, such as \"*.attention.*\"");
  section.value("match", lora.match);
}

void describe(Section& section, Adaptation& adaptation) {
  section.value("num_layers", adaptation.num_layers, at_least(1));
  section.value("num_decoder_layers", adaptation.num_decoder_layers, at_least(1));
  if (!section.writing() || adaptation.growth != Growth::kNone) {
    section.choice("growth", adaptation.growth,
                   {{"stack", Growth::kStack},
                    {"interpose", Growth::kInterpose},
                    {"identity", Growth::kIdentity},
                    {"skip", Growth::kSkip}});
  }
  section.section("distil", adaptation.distil);
  section.section("lora", adaptation.lora);
}

}  // namespace polyphase::recipe
