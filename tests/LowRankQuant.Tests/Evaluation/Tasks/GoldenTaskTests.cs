using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Evaluation.Tasks.Scoring;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>Item by item equal to the reference harnesses; tolerances are those stated with the references.</summary>
public sealed class GoldenTaskTests
{
    private const double LogLikelihood = 1e-3;
    private const double Figure = 1e-12;

    public static TheoryData<string, string> TinyStoriesItems()
    {
        var data = new TheoryData<string, string>();
        foreach (EvaluationTask task in TaskCatalog.BuiltIn)
        {
            if (task == Mmlu.Task) continue;
            data.Add(task.Name, "new");
            data.Add(task.Name, "old");
            if (task.Name is not ("copa" or "wsc273")) data.Add(task.Name, "nobos");
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(TinyStoriesItems))]
    public void TinyStories(string task, string convention)
    {
        using var models = new TaskModels(TaskModels.TinyStories);
        Check(models, TaskCatalog.Find(task)!, TaskModels.TinyStories, convention, limit: 100);
    }

    /// <summary>Every stored item of SmolLM2, minutes long: bench/eval_golden.sh runs this, a piece at a time.</summary>
    [Theory(Explicit = true)]
    [InlineData("new", Traits = ["piece", "smollm2-v0.4"])]
    [InlineData("old", Traits = ["piece", "smollm2-v0.3"])]
    public void SmolLM2_EveryItem(string convention)
    {
        using var models = new TaskModels(TaskModels.SmolLM2);
        using var runner = new ModelRunner(models.Model);
        foreach (EvaluationTask task in TaskCatalog.BuiltIn.Where(task => task != Mmlu.Task))
            Check(models, task, TaskModels.SmolLM2, convention, limit: 40, runner);
    }

    /// <summary>The stored question of every subject, minutes long: bench/eval_golden.sh runs this.</summary>
    [Theory(Explicit = true)]
    [InlineData("new", Traits = ["piece", "smollm2-mmlu-v0.4"])]
    [InlineData("hendrycks", Traits = ["piece", "smollm2-mmlu-hendrycks"])]
    public void SmolLM2_EverySubject(string convention)
    {
        using var models = new TaskModels(TaskModels.SmolLM2);
        using var runner = new ModelRunner(models.Model);
        CheckMmlu(models, runner, TaskModels.SmolLM2, convention, int.MaxValue);
    }

    /// <summary>A few items of each; <see cref="SmolLM2_EveryItem"/> compares all.</summary>
    [Fact]
    public void SmolLM2()
    {
        using var models = new TaskModels(TaskModels.SmolLM2);
        using var runner = new ModelRunner(models.Model);
        foreach (string task in new[] { "boolq", "piqa", "winogrande", "arc_easy", "lambada_openai", "copa", "wsc273" })
        {
            foreach (string convention in new[] { "new", "old" }) Check(models, TaskCatalog.Find(task)!, TaskModels.SmolLM2, convention, limit: 2, runner);
        }
    }

    /// <summary>All items of every task, minutes long: bench/eval_golden.sh runs this.</summary>
    [Theory(Explicit = true)]
    [InlineData("new", Traits = ["piece", "tinystories-v0.4"])]
    [InlineData("old", Traits = ["piece", "tinystories-v0.3"])]
    public void TinyStories_EveryItem(string convention)
    {
        foreach (EvaluationTask task in TaskCatalog.BuiltIn.Where(task => task != Mmlu.Task)) TinyStories_AllItems(task.Name, convention);
    }

    /// <summary>All items: predictions and figures.</summary>
    [Theory]
    [InlineData("openbookqa", "new")]
    [InlineData("copa", "old")]
    [InlineData("wsc273", "new")]
    public void TinyStories_AllItems(string name, string convention)
    {
        using var models = new TaskModels(TaskModels.TinyStories);
        (_, List<ItemRecord> records) = Score(models, TaskCatalog.Find(name)!, convention, null);
        JsonNode golden = GoldenItems.Metrics[name]![$"{TaskModels.TinyStories}.{convention}.full"]!;
        ItemRecord[] asked = [.. records.Where(record => record.Error is null)];
        Assert.False(golden["preds"] is null && golden["preds_norm"] is null, $"no predictions of {name} are stored");
        if (golden["preds"] is { } predictions) Assert.Equal((string)predictions!, string.Concat(asked.Select(record => record.Prediction)));
        if (golden["preds_norm"] is { } normalized) Assert.Equal((string)normalized!, string.Concat(asked.Select(record => record.PredictionNormalized)));
        CheckFigures(golden, TaskResult.Of(records, GoldenItems.HarnessOf(convention), null));
    }

    [Theory]
    [InlineData("local_csqa", "commonsense_qa")]
    [InlineData("local_siqa", "siqa")]
    public void ATaskOfOnesOwn(string name, string file)
    {
        using var folder = new TemporaryFolder();
        string recipe = folder.File("own.json");
        string data = Path.Combine(TestData.Path("data"), "tasks", file + ".jsonl");
        File.WriteAllText(recipe, new JsonObject
        {
            ["name"] = name,
            ["file"] = data,
            ["context"] = "{{query}}",
            ["choices"] = new JsonArray("choices"),
            ["answer"] = "gold",
            ["normalized"] = false,
        }.ToJsonString());
        using var models = new TaskModels(TaskModels.TinyStories);
        Check(models, TaskCatalog.Resolve(recipe), TaskModels.TinyStories, "new", limit: 100);
    }

    [Theory]
    [InlineData("new")]
    [InlineData("hendrycks")]
    public void TinyStories_Mmlu(string convention)
    {
        using var models = new TaskModels(TaskModels.TinyStories);
        using var runner = new ModelRunner(models.Model);
        CheckMmlu(models, runner, TaskModels.TinyStories, convention, int.MaxValue);
    }

    [Theory]
    [InlineData("new")]
    [InlineData("hendrycks")]
    public void SmolLM2_Mmlu(string convention)
    {
        using var models = new TaskModels(TaskModels.SmolLM2);
        using var runner = new ModelRunner(models.Model);
        CheckMmlu(models, runner, TaskModels.SmolLM2, convention, 2);
    }

    /// <summary>Compares ids, log-likelihoods, predictions and figures of the first items of a task.</summary>
    internal static void Check(TaskModels models, EvaluationTask task, string model, string convention, int limit, ModelRunner? runner = null)
    {
        JsonObject[] golden = GoldenItems.Read(task.Name, model, convention);
        bool all = golden.Length <= limit;
        (List<EncodedItem> encoded, List<ItemRecord> records) = Score(models, task, convention, Math.Min(limit, golden.Length), runner);
        Assert.Equal(Math.Min(limit, golden.Length), records.Count);
        Assert.NotEmpty(records);
        for (int i = 0; i < records.Count; i++) CheckItem(golden[i], encoded[i], records[i]);
        TaskResult result = TaskResult.Of(records, GoldenItems.HarnessOf(convention), null);
        CheckPart(golden[..records.Count], result);
        if (all) CheckFigures(GoldenItems.Metrics[task.Name]![$"{model}.{convention}"]!, result);
    }

    internal static void CheckMmlu(TaskModels models, ModelRunner runner, string model, string convention, int limit)
    {
        JsonObject[] golden = GoldenItems.Read("mmlu", model, convention);
        TaskItem[] items = [.. Mmlu.Task.Load(GoldenItems.Data, new TaskSelection { Harness = GoldenItems.HarnessOf(convention), Limit = 1 }).Take(limit)];
        (List<EncodedItem> encoded, List<ItemRecord> records) = Score(models, items, convention, runner);
        for (int i = 0; i < items.Length; i++)
        {
            JsonObject expected = golden[i];
            Assert.Equal(((string)expected["subject"]!, (int)expected["doc"]!, (int)expected["gold"]!), (items[i].Subject!, items[i].Index, records[i].Gold!.Value));
            ShotPrompt prompt = items[i].Shots!;
            string context = prompt.Text(prompt.Solved.Count - encoded[i].DroppedShots);
            Assert.Equal((string)expected["ctx_sha256"]!, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(context))));
            if (convention == "hendrycks") CheckLetters(expected, encoded[i], records[i]);
            else CheckItem(expected, encoded[i], records[i]);
        }
        Assert.NotEmpty(items);
        TaskResult result = TaskResult.Of(records, GoldenItems.HarnessOf(convention), null);
        double right = golden.Take(items.Length).Average(item => (int)(item["bare"] ?? item)["pred"]! == (int)item["gold"]! ? 1.0 : 0);
        Assert.Equal(right, result.Metrics["acc"].Value, Figure);
        if (items.Length < golden.Length) return;
        JsonNode figures = GoldenItems.Metrics["mmlu"]![$"{model}.{convention}"]!;
        Assert.Equal((double)figures[convention == "hendrycks" ? "acc_bare" : "acc"]!, result.Metrics["acc"].Value, Figure);
        if (convention == "hendrycks") Assert.Equal((double)figures["acc_spaced"]!, result.Metrics["acc_spaced"].Value, Figure);
        if (figures["shots_dropped"] is { } dropped) Assert.Equal((int)dropped, result.WithDroppedShots);
        Assert.Equal(57, result.Subjects!.Count);
        Assert.Equal(57, result.Groups!.Values.Sum(group => group.Items));
    }

    private static void CheckItem(JsonObject golden, EncodedItem encoded, ItemRecord record)
    {
        Assert.Equal((int)golden["doc"]!, record.Index);
        Assert.Equal((int?)golden["gold"], record.Gold);
        JsonArray requests = golden["requests"]!.AsArray();
        if (golden["error"] is { } error)
        {
            Assert.Equal((string)error!, record.Error);
            return;
        }
        Assert.Null(record.Error);
        for (int i = 0; i < requests.Count; i++)
        {
            JsonNode request = requests[i]!;
            TextPair pair = encoded.Item.Question.Requests[i];
            Assert.Equal((string)request["cont"]!, pair.Continuation);
            if ((request["context"] ?? golden["context"]) is { } context) Assert.Equal((string)context!, pair.Context);
            (int[] tokens, int scored) = encoded.Requests[i];
            int[] continuation = GoldenItems.Ints(request["cont_ids"]);
            Assert.Equal(continuation, tokens[^scored..]);
            if ((request["ctx_ids"] ?? golden["ctx_ids"]) is { } ids)
            {
                int[] before = GoldenItems.Ints(ids);
                Assert.Equal(before[Math.Max(0, before.Length - (tokens.Length - scored))..], tokens[..^scored]);
            }
            double expected = (double)request["ll"]!, tolerance = LogLikelihood + (scored > 100 ? 1e-5 * Math.Abs(expected) : 0);
            Assert.Equal(expected, record.LogLikelihoods[i], tolerance);
            if (record.Greedy is { } greedy) Assert.Equal((bool)request["greedy"]!, greedy);
        }
        if (golden["pred"] is { } prediction) Assert.Equal((int)prediction, record.Prediction);
        if (golden["pred_norm"] is { } normalized && encoded.Item.Question.Lengths is { } lengths)
        {
            Assert.Equal((int)normalized, record.PredictionNormalized);
            Assert.Equal(GoldenItems.Ints(golden["chars"]), lengths);
        }
    }

    // Figures of some items follow from the predictions that are stored with each; only those of all are stored themselves.
    private static void CheckPart(JsonObject[] golden, TaskResult result)
    {
        JsonObject[] asked = [.. golden.Where(item => item["error"] is null)];
        Assert.Equal(golden.Length - asked.Length, result.Errors);
        if (asked.Length == 0) return;
        // A task without choices is right where the one continuation is the greedy one.
        static bool IsRight(JsonObject item, string prediction) => item[prediction] is { } chosen ? (int)chosen == (int)item["gold"]! : (bool)item["requests"]![0]!["greedy"]!;
        Assert.Equal(asked.Average(item => IsRight(item, "pred") ? 1.0 : 0), result.Metrics["acc"].Value, Figure);
        if (result.Metrics.TryGetValue("acc_norm", out Metric? normalized) && Array.TrueForAll(asked, item => item["pred_norm"] is not null))
            Assert.Equal(asked.Average(item => IsRight(item, "pred_norm") ? 1.0 : 0), normalized.Value, Figure);
    }

    private static void CheckLetters(JsonObject golden, EncodedItem encoded, ItemRecord record)
    {
        Assert.Equal((int)golden["shots"]!, encoded.Item.Shots!.Solved.Count - encoded.DroppedShots);
        JsonNode bare = golden["bare"]!;
        Assert.Equal(GoldenItems.Ints(bare["ids"]), encoded.Requests.Take(4).Select(request => request.Tokens[^1]));
        Assert.Equal(GoldenItems.Ints(golden["spaced"]!["ids"]), encoded.Requests.Skip(4).Select(request => request.Tokens[^1]));
        Assert.Equal((int)bare["pred"]!, record.Prediction);
        Assert.Equal((int)golden["spaced"]!["pred"]!, record.PredictionSpaced);
        // Logits up to the denominator that the four letters share.
        double[] logits = GoldenItems.Doubles(bare["logits"]);
        for (int i = 1; i < 4; i++) Assert.Equal(logits[i] - logits[0], record.LogLikelihoods[i] - record.LogLikelihoods[0], LogLikelihood);
    }

    private static void CheckFigures(JsonNode golden, TaskResult result)
    {
        Assert.Equal((int)golden["n"]!, result.Items);
        Assert.Equal((int?)golden["n_error"] ?? 0, result.Errors);
        foreach (string name in new[] { "acc", "acc_norm" })
        {
            if (golden[name] is null) continue;
            Assert.Equal((double)golden[name]!, result.Metrics[name].Value, Figure);
            if (golden[name + "_stderr"] is { } error) Assert.Equal((double)error, result.Metrics[name].StandardError!.Value, Figure);
        }
        if (golden["ppl"] is { } perplexity) Assert.Equal(1, result.Metrics["perplexity"].Value / (double)perplexity, LogLikelihood);
    }

    private static (List<EncodedItem> Encoded, List<ItemRecord> Records) Score(
        TaskModels models, EvaluationTask task, string convention, int? limit, ModelRunner? runner = null)
    {
        var selection = new TaskSelection { Harness = GoldenItems.HarnessOf(convention), Limit = limit };
        IReadOnlyList<TaskItem> items = task.Load(GoldenItems.Data, selection);
        if (runner is not null) return Score(models, items, convention, runner);
        using var own = new ModelRunner(models.Model);
        return Score(models, items, convention, own);
    }

    private static (List<EncodedItem> Encoded, List<ItemRecord> Records) Score(
        TaskModels models, IReadOnlyList<TaskItem> items, string convention, ModelRunner runner)
    {
        ItemEncoder encoder = models.Encoder(convention);
        List<EncodedItem> encoded = [.. items.Select(encoder.Encode)];
        var records = new List<ItemRecord>();
        new LikelihoodScorer(runner).Score(
            [.. encoded.Select(item => new ScoringUnit(item.Requests, item.PrefixKey))], 0,
            (number, scores) => records.Add(ItemRecord.Of(encoded[number], scores)), cancellation: TestContext.Current.CancellationToken);
        return (encoded, records);
    }
}
