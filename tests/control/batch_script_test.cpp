// SPDX-License-Identifier: Apache-2.0
#include "control/batch_script.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace polyphase {
namespace {

BatchJob a_job() {
  BatchJob job;
  job.name = "tiny:pretrain";
  job.folder = "/work/my runs";
  job.output = "/work/my runs/01-%j.out";
  job.program = "/opt/polyphase";
  job.command = "run recipe.yaml --phase pretrain";
  return job;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(BatchScript, TheRecipesValuesComeBehindTheTemplates) {
  BatchJob job = a_job();
  job.resources.ranks = 8;
  job.resources.nodes = 2;
  job.resources.time_seconds = 100 * 3600 + 61.5;
  job.resources.options = {"--mem=4G"};
  job.resources.modules = {"openmpi/4"};
  job.resources.setup = {"export A='b c'"};
  const std::string text = batch_script(default_template(), "", job);
  for (const char* line :
       {"#SBATCH --chdir='/work/my runs'", "#SBATCH --nodes=2", "#SBATCH --ntasks=8",
        "#SBATCH --time=100:01:02", "#SBATCH --mem=4G", "module load openmpi/4", "export A='b c'",
        "program=(/opt/polyphase)", "command=(run recipe.yaml --phase pretrain)"}) {
    EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
  }
  EXPECT_GT(text.find("--ntasks=8"), text.find("--ntasks=1"));  // the later one counts
  EXPECT_LT(text.find("--mem=4G"), text.find("launch="));       // and none behind the first command
}

TEST(BatchScript, WhatIsNotSaidIsLeftToTheCluster) {
  const std::string text = batch_script(default_template(), "", a_job());
  for (const char* option : {"--time=", "--partition=", "--array=", "--gpus"})
    EXPECT_EQ(text.find(option), std::string::npos) << option;
}

TEST(BatchScript, TemplateWithoutItsLinesIsRefused) {
  EXPECT_THROW(batch_script("#!/bin/bash\n# submit: setup\n", "t", a_job()), RecipeError);
  EXPECT_THROW(batch_script("#!/bin/bash\n# submit: resources\n", "t", a_job()), RecipeError);
}

TEST(BatchScript, TemplateThatWouldNotGoOnWithTheRoundsIsRefused) {
  BatchJob job = a_job();
  job.next_jobs = "/work/my\\ runs/next.sh";
  EXPECT_TRUE(has_line(batch_script(default_template(), "", job), "next_jobs=" + job.next_jobs));
  const std::string older = "#!/bin/bash\n# submit: resources\n# submit: setup\n";
  EXPECT_THROW(batch_script(older, "t", job), RecipeError);
  EXPECT_NE(batch_script(older, "t", a_job()), "");
}

TEST(BatchScript, WordsSurviveTheShell) {
  EXPECT_EQ(shell_word("runs/a-1.yaml"), "runs/a-1.yaml");
  EXPECT_EQ(shell_word("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace polyphase
