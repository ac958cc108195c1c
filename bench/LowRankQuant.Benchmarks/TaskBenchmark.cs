using System.Diagnostics;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Data;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Scoring;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// How fast tasks are scored, against the same kernels with one forward pass per choice at batch 1 and logits of the scored tokens alone. Both ways give
/// the same log-likelihoods; the largest difference is printed.
/// </summary>
internal static class TaskBenchmark
{
    public static int Run(Options options)
    {
        // Operations are timed one after the other: a profile wants one thread.
        bool profile = options.Number("profile", 0) > 0;
        var cpu = new CpuDevice(new CpuDeviceOptions { Threads = profile ? 1 : options.Number("threads", 2) });
        using Device device = profile ? new TimedDevice(cpu) : cpu;
        using CausalModel model = ModelSource.Open(options.Text("model") ?? throw new ArgumentException("--model is missing."), device);
        var data = new DataFolder(options.Text("data") ?? throw new ArgumentException("--data is missing."));
        string harnessName = options.Text("harness") ?? "v0.4";
        Harness harness = HarnessNames.All.First(pair => pair.Key == harnessName).Value;
        ITokenizer tokenizer = model.Checkpoint.LoadTokenizer();
        var encoder = new ItemEncoder(tokenizer, new PairEncoder(tokenizer, model.Config, harness, AddBos.Auto), harness, model.Config.MaxPositions);
        using var runner = new ModelRunner(model);
        string tasks = options.Text("tasks") ?? string.Join(',', TaskCatalog.BuiltIn.Select(task => task.Name));
        foreach (string name in tasks.Split(','))
        {
            EvaluationTask task = TaskCatalog.Resolve(name);
            IReadOnlyList<TaskItem> items = task.Load(data, new TaskSelection { Harness = harness, Limit = options.Number("limit", 100) });
            ScoringUnit[] units = [.. items.Select(encoder.Encode).Select(item => new ScoringUnit(item.Requests, item.PrefixKey))];
            // Items of the baseline are spread over all, as subjects differ in length.
            int[] chosen = [.. Enumerable.Range(0, units.Length).Where(i => i % Math.Max(1, units.Length / options.Number("baseline", 20)) == 0)];
            if (device is TimedDevice timed) Profile(name, runner, units, timed);
            else Measure(name, runner, units, chosen);
        }
        return 0;
    }

    /// <summary>Where the time goes: the share of every operation, and what lies between them.</summary>
    private static void Profile(string name, ModelRunner runner, ScoringUnit[] units, TimedDevice device)
    {
        var scorer = new LikelihoodScorer(runner);
        scorer.Score(units[..1], 0, (_, _) => { });
        device.Timed.Reset();
        double start = ThreadClock.ProcessSeconds;
        scorer.Score(units, 0, (_, _) => { });
        double seconds = ThreadClock.ProcessSeconds - start, inside = 0;
        var shares = new JsonObject();
        foreach ((string operation, KernelTime time) in device.Timed.Times.OrderByDescending(pair => pair.Value.Processor))
        {
            shares[operation] = Math.Round(time.Processor / seconds, 4);
            inside += time.Processor;
        }
        shares["between"] = Math.Round((seconds - inside) / seconds, 4);
        Console.WriteLine(new JsonObject { ["task"] = name, ["itemsPerSecond"] = Math.Round(units.Length / seconds, 3), ["shares"] = shares }.ToJsonString());
    }

    private static void Measure(string name, ModelRunner runner, ScoringUnit[] units, int[] chosen)
    {
        var scorer = new LikelihoodScorer(runner);
        var scores = new TokenScore[units.Length][];
        scorer.Score(units[..1], 0, (_, _) => { });
        long start = Stopwatch.GetTimestamp();
        scorer.Score(units, 0, (unit, found) => scores[unit] = found);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds, largest = 0;
        start = Stopwatch.GetTimestamp();
        foreach (int unit in chosen)
        {
            for (int r = 0; r < units[unit].Requests.Count; r++)
                largest = Math.Max(largest, Math.Abs(Alone(runner, units[unit].Requests[r]) - scores[unit][r].LogLikelihood));
        }
        double alone = Stopwatch.GetElapsedTime(start).TotalSeconds / chosen.Length * units.Length;
        long fed = Fed(units), fedOfChosen = Fed(chosen.Select(unit => units[unit]));
        IReadOnlyList<ScoringBatch> batches = ScoringPlan.Of(units, new ModelRunnerOptions().BatchTokens);
        long computed = batches.Sum(batch => (long)batch.Tokens.Length)
            + batches.Select(batch => batch.Prefix).Where(prefix => prefix is not null).Distinct().Sum(prefix => (long)prefix!.Length);
        // The baseline's items may be longer or shorter than the average.
        alone *= (double)fed / units.Length / ((double)fedOfChosen / chosen.Length);
        double ratio = alone / seconds, allowed = (double)fed / computed;
        Console.WriteLine(new JsonObject
        {
            ["task"] = name,
            ["items"] = units.Length,
            ["itemsPerSecond"] = Math.Round(units.Length / seconds, 3),
            ["baselineItemsPerSecond"] = Math.Round(units.Length / alone, 3),
            ["ratio"] = Math.Round(ratio, 2),
            ["tokensAllow"] = Math.Round(allowed, 2),
            ["share"] = Math.Round(ratio / allowed, 3),
            ["tokensPerSecond"] = Math.Round(computed / seconds, 1),
            ["baselineTokensPerSecond"] = Math.Round(fed / alone, 1),
            ["largestDifference"] = largest,
        }.ToJsonString());
    }

    private static long Fed(IEnumerable<ScoringUnit> units) => units.Sum(unit => unit.Requests.Sum(request => (long)request.Tokens.Length - 1));

    private static double Alone(ModelRunner runner, TokenRequest request)
    {
        double sum = 0;
        (int[] tokens, int scored) = request;
        runner.Run([tokens[..^1]], (_, hidden) =>
        {
            using var tape = new Tape(runner.Model.Device, recording: false);
            Tensor logits = runner.Head.Logits(tape, new Variable(hidden.RowRange(hidden.Rows - scored, scored))).Value;
            Tensor losses = tape.Rent(scored), logSumExp = tape.Rent(scored);
            runner.Model.Device.Kernels.CrossEntropyForward(logits, tokens.AsSpan(tokens.Length - scored), losses, logSumExp);
            foreach (float loss in losses.ToArray()) sum -= loss;
        });
        return sum;
    }
}
