using System.Text.Json.Nodes;
using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary><c>lrq eval --tasks</c> on the demo model with a quiz of the test's own.</summary>
public sealed class TaskEvalTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TaskEvalTests()
    {
        File.WriteAllLines(_folder.File("quiz.jsonl"), Enumerable.Range(0, 30).Select(i =>
            new JsonObject { ["q"] = $"Once upon a time there were {i} cats. They", ["options"] = new JsonArray("played", "ran away", "were happy"), ["right"] = i % 3 }.ToJsonString()));
        File.WriteAllText(_folder.File("quiz.json"), """{"name":"quiz","file":"quiz.jsonl","context":"{{q}}","choices":["options"],"answer":"right"}""");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task ItemsFiguresAndComparison()
    {
        string items = _folder.File("items.jsonl");
        CliResult first = await Lrq.Run("eval", "demo", "--tasks", _folder.File("quiz.json"), "--items", items, "--threads", "1", "--json");
        Assert.Equal((0, 0), (first.Code, first.Out.Trim().Count(c => c == '\n')));
        JsonNode task = JsonNode.Parse(first.Out)!["tasks"]!["tasks"]!["quiz"]!;
        JsonNode[] records = [.. File.ReadLines(items).Select(line => JsonNode.Parse(line)!)];
        Assert.Equal(Enumerable.Range(0, 30), records.Select(record => (int)record["index"]!));
        double accuracy = records.Average(record => (int)record["prediction"]! == (int)record["gold"]! ? 1.0 : 0);
        Assert.Equal(accuracy, (double)task["metrics"]!["acc"]!["value"]!, 1e-12);
        Assert.All(records, record => Assert.Equal(3, record["logLikelihoods"]!.AsArray().Count));

        CliResult second = await Lrq.Run("eval", "demo", "--tasks", _folder.File("quiz.json"), "--against", items, "--limit", "10", "--offset", "5", "--threads", "2", "--json");
        JsonNode against = JsonNode.Parse(second.Out)!["tasks"]!["tasks"]!["quiz"]!["against"]!["acc_norm"]!;
        Assert.Equal((0.0, 0, 10), ((double)against["difference"]!, (int)against["better"]!, (int)against["items"]!));
        Assert.Equal(100, (double)against["recoveryPercent"]!, 1e-9);

        Assert.All(records, record => Assert.Equal(("v0.4", 64, null), ((string)record["harness"]!, ((string)record["data"]!).Length, (string?)record["options"])));

        CliResult compared = await Lrq.Run("compare", items, "--against", items, "--json");
        JsonNode same = JsonNode.Parse(compared.Out)!["tasks"]!["quiz"]!;
        Assert.Equal(task["metrics"]!.ToJsonString(), same["metrics"]!.ToJsonString());
        Assert.Equal(30, (int)same["against"]!["acc"]!["items"]!);
        Assert.Equal((0.0, 0.0, 30), ((double)same["against"]!["choice_kl"]!["difference"]!, (double)same["against"]!["right_choice_log_prob"]!["difference"]!, (int)same["against"]!["choice_kl"]!["items"]!));
        Assert.Equal(2, (await Lrq.Run("compare", _folder.File("no.jsonl"), "--against", items)).Code);
    }

    [Fact]
    public async Task ItemsOfOtherConventionsOrDataAreNotCompared()
    {
        string quiz = _folder.File("quiz.json"), old = _folder.File("old.jsonl"), items = _folder.File("items.jsonl");
        string[] command = ["eval", "demo", "--tasks", quiz, "--limit", "3", "--threads", "1"];
        Assert.Equal(0, (await Lrq.Run([.. command, "--harness", "v0.3", "--items", old])).Code);
        Assert.Contains("task (v0.3)", (await Lrq.Run("compare", old)).Out, StringComparison.Ordinal);
        Assert.Contains("was scored by the conventions v0.3 and these items by v0.4", (await Lrq.Run([.. command, "--against", old])).Error, StringComparison.Ordinal);
        Assert.Equal(0, (await Lrq.Run([.. command, "--items", items])).Code);
        CliResult mixed = await Lrq.Run("compare", items, "--against", old);
        Assert.Equal(1, mixed.Code);
        Assert.Contains("figures of different conventions cannot be compared", mixed.Error, StringComparison.Ordinal);
        CliResult told = await Lrq.Run("compare", items, "--harness", "v0.3");
        Assert.Equal(1, told.Code);
        Assert.Contains("were scored by v0.4; leave the option out", told.Error, StringComparison.Ordinal);
        // The same file of items behind another text of the recipe is another quiz, and so is what was begun of it.
        File.WriteAllText(quiz, File.ReadAllText(quiz).Replace("{{q}}", "Story: {{q}}", StringComparison.Ordinal));
        Assert.Contains("has another question as quiz item 0", (await Lrq.Run([.. command, "--against", items])).Error, StringComparison.Ordinal);
        File.WriteAllLines(items + ".journal", ["{\"fingerprint\":\"0\"}", .. File.ReadAllLines(items)]);
        File.Delete(items);
        Assert.Contains("holds items of another request", (await Lrq.Run([.. command, "--items", items])).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnInterruptedEvaluationGivesTheSameBytes()
    {
        string whole = _folder.File("whole.jsonl"), items = _folder.File("items.jsonl");
        string[] command = ["eval", "demo", "--tasks", _folder.File("quiz.json"), "--threads", "1", "--items"];
        Assert.Equal(0, (await Lrq.Run([.. command, whole])).Code);
        // What an interrupted session leaves: the fingerprint and some items.
        Assert.Equal(0, (await Lrq.Run([.. command, items])).Code);
        string[] lines = File.ReadAllLines(items);
        File.Delete(items);
        Assert.Contains("the same command goes on from there", await Interrupt([.. command, items]), StringComparison.Ordinal);
        File.AppendAllLines(items + ".journal", lines[..7]);
        CliResult resumed = await Lrq.Run([.. command, items]);
        Assert.Equal(0, resumed.Code);
        Assert.Contains("7 items are known already", resumed.Out, StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(items));
    }

    [Theory]
    [InlineData("--tasks", "Nothing is kept; with --items FILE the same command goes on where it stopped.")]
    [InlineData("--windows", "Nothing is kept.")]
    public async Task WhatKeepsNothingDoesNotPromiseToGoOn(string option, string message) =>
        Assert.Equal(message, (await Interrupt(["eval", "demo", option, option == "--tasks" ? _folder.File("quiz.json") : "3", "--threads", "1"])).Trim());

    [Fact]
    public async Task TheChatTemplateGetsItsVariables()
    {
        string model = DemoCopy.Create(_folder, "talking"), items = _folder.File("items.jsonl");
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), "{{ strftime_now('%A') }}, {{ mood }}: {% for message in messages %}{{ message.content }}{% endfor %}");
        string[] command = ["eval", model, "--tasks", _folder.File("quiz.json"), "--limit", "2", "--threads", "1", "--apply-chat-template"];
        CliResult missing = await Lrq.Run(command);
        Assert.Equal(1, missing.Code);
        Assert.Contains("--chat-template-kwargs", missing.Error, StringComparison.Ordinal);
        CliResult given = await Lrq.Run([.. command, "--chat-template-kwargs", "{\"strftime_now\": \"2026-12-01\", \"mood\": \"glad\"}", "--items", items]);
        Assert.True(given.Code == 0, given.Error);
        Assert.Equal("chat template with {\"strftime_now\": \"2026-12-01\", \"mood\": \"glad\"}", (string?)JsonNode.Parse(File.ReadLines(items).First())!["options"]);
        // The figures of another mood are of another question.
        CliResult other = await Lrq.Run([.. command, "--chat-template-kwargs", "{\"strftime_now\": \"2026-12-01\", \"mood\": \"sad\"}", "--against", items]);
        Assert.Equal(1, other.Code);
        CliResult unknown = await Lrq.Run([.. command, "--chat-template-kwargs", "{\"weather\": 1}"]);
        Assert.Contains("there is no variable 'weather' in it", unknown.Error, StringComparison.Ordinal);
        Assert.Contains("is for a --text, or --tasks with --apply-chat-template", (await Lrq.Run([.. command[..^1], "--chat-template-kwargs", "{}"])).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AReferenceModelIsAskedTheSame()
    {
        CliResult result = await Lrq.Run("eval", "demo", "--reference", "demo", "--tasks", _folder.File("quiz.json"), "--limit", "4", "--threads", "1");
        Assert.Equal(0, result.Code);
        Assert.Contains("reference: quiz, 4 items", result.Out, StringComparison.Ordinal);
        Assert.Matches(@"quiz +4 .*\+0\.00 ± 0\.00 %", result.Out);
        Assert.Contains("choice KL", result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AllThatIsWrongIsToldAtOnce()
    {
        CliResult result = await Lrq.Run(
            "eval", "demo", "--tasks", "boolq,nosuch,mmlu", "--harness", "v0.3", "--shots", "9", "--limit", "0", "--against", _folder.File("no.jsonl"), "--apply-chat-template");
        Assert.Equal(2, result.Code);
        string[] expected =
        [
            "--limit 0", "'nosuch' is no task", "--shots 9 with boolq", "--harness v0.3 with mmlu", "--data is missing", "no.jsonl: is not a file",
            "--apply-chat-template with --harness v0.3",
        ];
        Assert.All(expected, problem => Assert.Contains(problem, result.Error, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--limit 3", "--limit is for --tasks")]
    [InlineData("--harness v0.3", "--harness is for --tasks and --perplexity rolling")]
    [InlineData("--perplexity rolling --stride 8", "--stride does not apply to --perplexity rolling")]
    [InlineData("--perplexity rolling --reference demo", "--reference does not apply to --perplexity rolling")]
    [InlineData("--perplexity best", "--perplexity best: must be one of windows, rolling, llama.cpp")]
    [InlineData("--apply-chat-template", "--apply-chat-template is for --tasks")]
    public async Task OptionsWithoutWhatTheyAreForAreRefused(string options, string message)
    {
        CliResult result = await Lrq.Run(["eval", "demo", .. options.Split(' ')]);
        Assert.Equal(2, result.Code);
        Assert.Contains(message, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("rolling", "word perplexity")]
    [InlineData("llama.cpp", "perplexity")]
    public async Task OtherPerplexities(string kind, string row)
    {
        CliResult result = await Lrq.Run("eval", "demo", "--perplexity", kind, "--windows", "1", "--context", "64", "--threads", "1");
        Assert.Equal(0, result.Code);
        Assert.Contains(row, result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task LlamaCppComparesWhereItScores()
    {
        string[] command = ["eval", "demo", "--perplexity", "llama.cpp", "--reference", "demo", "--windows", "2", "--context", "64", "--threads", "1", "--json"];
        CliResult result = await Lrq.Run(command);
        JsonNode figures = JsonNode.Parse(result.Out)!;
        Assert.Equal((0.0, 1.0, 62), ((double)figures["klDivergence"]!, (double)figures["top1Agreement"]!, (int)figures["tokens"]!));
    }

    [Fact]
    public async Task TheReferenceIsReadFromItsCache()
    {
        string cache = _folder.File("states"), file = _folder.File("file");
        string[] command = ["eval", "demo", "--reference", "demo", "--windows", "3", "--context", "64", "--threads", "1", "--reference-cache"];
        CliResult first = await Lrq.Run([.. command, cache]), second = await Lrq.Run([.. command, cache]);
        Assert.True(first.Code == 0, first.Error);
        Assert.Contains("0 windows read, 3 computed and kept", first.Out, StringComparison.Ordinal);
        Assert.Contains("3 windows read, 0 computed and kept", second.Out, StringComparison.Ordinal);
        string kept = Assert.Single(Directory.GetFiles(cache));
        File.WriteAllBytes(kept, File.ReadAllBytes(kept)[..^1]);
        CliResult damaged = await Lrq.Run([.. command, cache]);
        Assert.Equal(1, damaged.Code);
        Assert.Contains($"--reference-cache: '{kept}' cannot be used", damaged.Error, StringComparison.Ordinal);
        File.WriteAllText(file, "");
        CliResult inTheWay = await Lrq.Run([.. command, file]);
        Assert.Equal(2, inTheWay.Code);
        Assert.Contains($"--reference-cache {file}: {file} is a file; name a folder.", inTheWay.Error, StringComparison.Ordinal);
    }

    /// <summary>Runs a command that is stopped as soon as it says that it has begun; returns what it wrote about that.</summary>
    private static async Task<string> Interrupt(string[] command)
    {
        using var output = new StringWriter();
        using var stop = new CancellationTokenSource();
        int code = await new App(new Terminal(new StoppingWriter(stop), output, false, false), Engine.Default).RunAsync(command, stop.Token);
        Assert.Equal(ExitCodes.Interrupted, code);
        return output.ToString();
    }

    /// <summary>Asks the program to stop as soon as it says that it has begun.</summary>
    private sealed class StoppingWriter(CancellationTokenSource stop) : StringWriter
    {
        public override void WriteLine(string? value) => stop.Cancel();
    }
}
