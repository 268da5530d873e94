// SPDX-License-Identifier: Apache-2.0
#include "control/next_jobs.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/error.hpp"
#include "control/slurm_jobs.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// The script is run by bash, with an sbatch and a squeue that write down what they are asked.
class NextJobs : public testing::Test {
 protected:
  NextJobs() : run_(fs::temp_directory_path() / fmt::format("polyphase-next jobs-{}", getpid())) {
    fs::create_directories(run_ / "slurm");
    ::setenv("SLURM_JOB_ID", "12", 1);  // of the job that writes
    program("sbatch",
            "n=$(cat number 2>/dev/null || echo 70); n=$((n + 1)); echo $n >number\n"
            "echo \"$*\" >>asked; env | grep -E '^(SLURM|POLYPHASE_OUTCOME)' >>seen\n"
            "test -e refuses && exit 1\necho \"$n;cluster\"\n");
    // What was asked for is queued, unless it was forgotten: 71 has the first line's comment.
    program("squeue",
            "test -e forgets && exit\nn=70\n"
            "while read -r line; do n=$((n + 1)); c=${line#*--comment=}; c=${c% /*.sbatch*}\n"
            "echo \"$n|$(cat state 2>/dev/null || echo PENDING Priority)|${c% --array=*}\"\n"
            "done <asked 2>/dev/null; echo '12|RUNNING|other'\n");
  }
  ~NextJobs() override {
    fs::remove_all(run_);
    ::unsetenv("SLURM_JOB_ID");
  }

  void program(const std::string& name, const std::string& text) {
    std::ofstream(run_ / name) << "#!/bin/bash\ncd \"$(dirname \"$0\")\"\n" << text;
    fs::permissions(run_ / name, fs::perms::owner_all);
  }
  // The exit status of a job's script that ends well.
  int end_job(const std::string& variables) {
    const std::string command = fmt::format(
        "cd '{0}' && env {1} SLURM_CONF=c SLURM_RESTART_COUNT=2 POLYPHASE_OUTCOME=o "
        "PATH='{0}':$PATH "
        "bash -c 'source slurm/next.sh' >/dev/null",
        run_.string(), variables);
    return std::system(command.c_str());
  }
  std::string asked() const {
    return fs::exists(run_ / "asked") ? read_file(run_ / "asked") : std::string();
  }
  std::string script(const char* name) const { return (run_ / "slurm" / name).string(); }

  fs::path run_;
};

const PhaseUse kTags = {.name = "tags", .number = 1, .round = 4, .folder = "round-4/02-tags"};
const PhaseUse kTopic = {.name = "topic", .number = 2, .round = 4, .folder = "round-4/03-topic"};

std::vector<std::string> ids_of(const SlurmJobs& list) {
  std::vector<std::string> ids;
  for (const SubmittedJob& job : list.jobs) ids.push_back(job.id);
  return ids;
}

TEST_F(NextJobs, PhasesOfARoundAreJobsOneAfterTheOther) {
  write_next_jobs(run_, {.trials = {}, .round = 4, .phases = {kTags, kTopic}});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_EQ(asked(), fmt::format("--parsable --dependency=afterok:12 --kill-on-invalid-dep=yes "
                                 "--comment={1} {0}/slurm/02-tags.sbatch --round 4\n"
                                 "--parsable --dependency=afterok:71 --kill-on-invalid-dep=yes "
                                 "--comment={2} {0}/slurm/03-topic.sbatch --round 4\n",
                                 run_.string(), comment_of("phase tags (round 4)", run_, ""),
                                 comment_of("phase topic (round 4)", run_, "")));
  const SlurmJobs jobs = read_slurm_jobs(run_);
  EXPECT_EQ(ids_of(jobs), (std::vector<std::string>{"71", "72"}));
  EXPECT_EQ(jobs.find("phase topic (round 4)")->after, "71");
  EXPECT_EQ(read_file(run_ / "seen"), "SLURM_CONF=c\nSLURM_CONF=c\n")
      << "what a job is told of itself is not for others";
}

TEST_F(NextJobs, TrialsAreArraysAndTheJobThatJudgesWaitsForAllOfThem) {
  const Trials both = {.rounds = {4, 6}, .phases = {kTags, kTopic}};
  const Trials one = {.rounds = {5}, .phases = {kTopic}};
  write_next_jobs(run_, {.trials = {both, one}, .round = 4, .phases = {kTopic}});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  const std::string with = " --kill-on-invalid-dep=yes --comment=";
  for (const std::string& words :
       {"=afterok:12" + with + comment_of("trials tags (rounds 4 6)", run_, "4,6"),
        "=aftercorr:71" + with + comment_of("trials topic (rounds 4 6)", run_, "4,6"),
        std::string(" --array=4,6 --output="), std::string("/slurm/03-topic-%A_%a.out "),
        "=afterok:12" + with + comment_of("trials topic (rounds 5)", run_, "5"),
        "=afterok:72:73" + with + comment_of("phase topic (round 4)", run_, "")})
    EXPECT_NE(asked().find(words), std::string::npos) << words << "\n" << asked();
  const SlurmJobs jobs = read_slurm_jobs(run_);
  EXPECT_EQ(ids_of(jobs), (std::vector<std::string>{"71_4", "71_6", "72_4", "72_6", "73_5", "74"}));
  EXPECT_EQ(jobs.find("trial topic (round 6)")->after, "71");
  EXPECT_EQ(jobs.find("phase topic (round 4)")->after, "72, 73");
}

TEST_F(NextJobs, JobOfAnArrayIsFollowedByItself) {
  ::setenv("SLURM_JOB_ID", "13", 1);
  write_next_jobs(run_, {.trials = {}, .round = 2, .phases = {kTopic}});
  ASSERT_EQ(end_job("SLURM_JOB_ID=13 SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=1"), 0);
  EXPECT_NE(asked().find("afterok:12_1 "), std::string::npos) << asked();
}

TEST_F(NextJobs, JobThatDidNotWriteItSubmitsNothing) {
  write_next_jobs(run_, {.trials = {}, .round = 2, .phases = {kTopic}});
  ASSERT_EQ(end_job("SLURM_JOB_ID=14"), 0);
  EXPECT_EQ(asked(), "");
}

TEST_F(NextJobs, JobOfAnotherClusterWithTheSameNumberSubmitsNothing) {
  ::setenv("SLURM_CLUSTER_NAME", "here", 1);
  write_next_jobs(run_, {.trials = {}, .round = 2, .phases = {kTopic}});
  ::unsetenv("SLURM_CLUSTER_NAME");
  ASSERT_EQ(end_job("SLURM_JOB_ID=12 SLURM_CLUSTER_NAME=there"), 0);
  EXPECT_EQ(asked(), "");
  ASSERT_EQ(end_job("SLURM_JOB_ID=12 SLURM_CLUSTER_NAME=here"), 0);
  EXPECT_EQ(read_slurm_jobs(run_).jobs.at(0).cluster, "cluster") << "as sbatch says";
}

// Killed at any moment: what it submitted is in the queue, noted or not.
TEST_F(NextJobs, RequeuedJobSubmitsNothingTwice) {
  write_next_jobs(
      run_, {.trials = {{.rounds = {4, 5}, .phases = {kTags}}}, .round = 4, .phases = {kTopic}});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  const std::string once = asked();
  fs::remove(run_ / "slurm" / kNextJobs);
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_EQ(asked(), once);
  EXPECT_EQ(ids_of(read_slurm_jobs(run_)), (std::vector<std::string>{"71_4", "71_5", "72"}));
  std::ofstream(run_ / "forgets") << "";  // what it submitted is no longer in the queue
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_EQ(asked().size(), 2 * once.size());
}

TEST_F(NextJobs, JobThatCanNeverStartIsNoneToGoOnWith) {
  write_next_jobs(run_, {.trials = {}, .round = 4, .phases = {kTopic}});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  const std::string once = asked();
  std::ofstream(run_ / "state") << "PENDING DependencyNeverSatisfied";
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_EQ(asked(), once + once);
}

// Slurm refuses one of more than 1,024 bytes.
TEST(Comment, IsShortHoweverManyRoundsThereAre) {
  const std::string rounds(4000, '7');
  EXPECT_LT(comment_of("trials topic (rounds " + rounds + ")", "run", rounds).size(), 256U);
  EXPECT_NE(comment_of("trials topic (rounds " + rounds + ")", "run", rounds),
            comment_of("trials topic (rounds " + rounds + "8)", "run", rounds));
  EXPECT_NE(comment_of("phase topic", "run", ""), comment_of("phase topic", "other", ""));
}

TEST_F(NextJobs, RefusedJobIsAnErrorAndNothingFollowsIt) {
  write_next_jobs(run_, {.trials = {}, .round = 4, .phases = {kTags, kTopic}});
  std::ofstream(run_ / "refuses") << "";
  EXPECT_NE(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_TRUE(read_slurm_jobs(run_).jobs.empty());
  EXPECT_EQ(asked().find("03-topic"), std::string::npos);
}

TEST_F(NextJobs, JobsOfBothListsAreToldOnce) {
  write_slurm_jobs(run_, {.runs = {}, .jobs = {{"phase topic (round 1)", "12", "a", "", "t"}}});
  write_next_jobs(run_, {.trials = {}, .round = 2, .phases = {kTopic}});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  const SlurmJobs jobs = read_slurm_jobs(run_);
  write_slurm_jobs(run_, jobs);
  EXPECT_EQ(ids_of(read_slurm_jobs(run_)), (std::vector<std::string>{"12", "71"}));
}

TEST_F(NextJobs, RunThatWasNotSubmittedHasNoScripts) {
  recipe::Recipe recipe;
  recipe.phases.resize(1);
  recipe.phases[0].name = "pretrain";
  EXPECT_THROW(require_scripts(run_, recipe), RecipeError);
  std::ofstream(run_ / "slurm" / "01-pretrain.sbatch") << "";
  require_scripts(run_, recipe);
}

}  // namespace
}  // namespace polyphase
