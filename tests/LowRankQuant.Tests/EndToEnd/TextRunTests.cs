using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Cli;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Evaluating;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Texts of users at the command line: modest, in other formats, used twice, sampled from the model.</summary>
public sealed class TextRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task AModestTextIsEnough()
    {
        string train = Part("calibration.txt", 9000), test = Part("evaluation.txt", 5000), output = _folder.File("w3");
        string[] command =
            ["quantize", "demo", "--method", "lrq", "--bits", "3", "--iterations", "2", "--calibration", train, "--eval-text", test, "--eval-windows", "16", "--threads", "1", "--out", output];
        CliResult result = await Lrq.Run(command);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Contains("3 + 1 held-out windows of 512 tokens are used instead of 256 + 8 of 512; --samples, --held-out and --sequence-length choose others.", result.Out, StringComparison.Ordinal);
        Assert.Contains("which make 3 windows of 512 tokens, the last perhaps shorter; --eval-windows asks for 16.", result.Out, StringComparison.Ordinal);
        JsonNode recipe = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "recipe.json")))!;
        JsonNode data = recipe["data"]!;
        Assert.Equal((3, 1, 512), ((int)data["samples"]!, (int)data["held_out"]!, (int)data["sequence_length"]!));
        // The same text gives the same recipe: the run is found again.
        Assert.Contains("holds this run, finished", (await Lrq.Run(command)).Out, StringComparison.Ordinal);

        CliResult asked = await Lrq.Run([.. command[..^1], _folder.File("other"), "--samples", "100"]);
        Assert.Equal(2, asked.Code);
        Assert.Contains("4 windows of 512 fit, and 100 + 8 held-out ones are asked for", asked.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder.File("other")));
    }

    [Fact]
    public async Task APlanFindsTextsThatCannotBeRead()
    {
        File.WriteAllText(_folder.File("a.parquet"), "PAR1\u0015\u0004");
        Directory.CreateDirectory(_folder.File("empty"));
        CliResult broken = await Lrq.Run("plan", "demo", "--method", "lrq", "--calibration", _folder.File("a.parquet"), "--untimed");
        CliResult empty = await Lrq.Run("plan", "demo", "--method", "lrq", "--eval-text", _folder.File("empty"), "--untimed");
        Assert.NotEqual(0, broken.Code);
        Assert.Contains("is a Parquet file", broken.Error, StringComparison.Ordinal);
        Assert.NotEqual(0, empty.Code);
        Assert.Contains("is a folder without a text", empty.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TextThatIsCalibratedAndMeasuredOnIsToldOf()
    {
        string train = Part("calibration.txt", 6000), copy = _folder.File("copy.txt"), longer = _folder.File("longer.txt");
        File.Copy(train, copy);
        File.WriteAllText(longer, File.ReadAllText(train) + " The end.");
        string[] command =
            ["quantize", "demo", "--method", "lrq", "--bits", "3", "--iterations", "1", "--samples", "4", "--held-out", "1", "--sequence-length", "128", "--calibration", train, "--eval-windows", "1", "--threads", "1", "--json"];
        foreach ((string file, string message) in new[] { (train, "is calibrated on and measured on"), (copy, "holds the same bytes as"), (longer, "% of the windows of") })
        {
            CliResult result = await Lrq.Run([.. command, "--eval-text", file, "--out", _folder.File("out" + message.Length)]);
            Assert.Equal(0, result.Code);
            string warning = (string)Assert.Single(JsonNode.Parse(result.Out)!["warnings"]!.AsArray())!;
            Assert.Contains(message, warning, StringComparison.Ordinal);
            Assert.Contains("warning: " + OptionText.Of(warning), result.Error, StringComparison.Ordinal);
        }
        CliResult clean = await Lrq.Run([.. command, "--eval-text", Part("evaluation.txt", 6000), "--out", _folder.File("clean")]);
        Assert.Empty(JsonNode.Parse(clean.Out)!["warnings"]!.AsArray());
    }

    [Fact]
    public async Task DocumentsOfJsonAreMeasuredNotItsSyntax()
    {
        string[] stories = [.. File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt")).Split("<|endoftext|>").Select(story => story.Trim()).Where(story => story.Length > 0).Take(12)];
        string lines = _folder.File("e.jsonl"), joined = _folder.File("e.txt");
        File.WriteAllLines(lines, stories.Select(story => new JsonObject { ["body"] = story + "\ud83d" }.ToJsonString()).Select(line => line.Replace("\\uFFFD", "\\ud83d", StringComparison.Ordinal)));
        File.WriteAllText(joined, string.Join("<|endoftext|>", stories.Select(story => story + "\uFFFD")));
        CliResult documents = await Lrq.Run("eval", "demo", "--text", lines, "--text-field", "body", "--threads", "1", "--json");
        CliResult text = await Lrq.Run("eval", "demo", "--text", joined, "--threads", "1", "--json");
        JsonNode figures = JsonNode.Parse(documents.Out)!;
        Assert.Equal((double)JsonNode.Parse(text.Out)!["perplexity"]!, (double)figures["perplexity"]!, 1e-9);
        Assert.Contains("12 halves of surrogate pairs", (string)figures["warnings"]![0]!, StringComparison.Ordinal);
        Assert.Contains("warning: ", documents.Error, StringComparison.Ordinal);
        Assert.Null(JsonNode.Parse(text.Out)!["warnings"]);
        CliResult field = await Lrq.Run("eval", "demo", "--text", lines);
        Assert.Equal(1, field.Code);
        Assert.Contains("line 1 has no field 'text'; it has 'body'. Name the field that holds the text by --text-field", field.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--join-rows --perplexity rolling", "--join-rows does not apply to --perplexity rolling")]
    [InlineData("--join-rows --ids x.ids", "--join-rows is for a --text")]
    [InlineData("--text-format jsonl --ids x.ids", "--text-format is for a --text")]
    public async Task OptionsOfTextsNeedOne(string options, string message)
    {
        CliResult result = await Lrq.Run(["eval", "demo", .. options.Split(' ')]);
        Assert.Equal(2, result.Code);
        Assert.Contains(message, result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void TextOfTheModelItselfShowsItsProgress()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel demo = ModelSource.Open(TestData.Demo, device);
        var seen = new Progress();
        var options = new CalibrationOptions { Sources = [CalibrationOptions.Self], Samples = 2, HeldOut = 1, SequenceLength = 6 };
        CalibrationSet set = CalibrationLoader.Load(options, demo.Checkpoint.LoadTokenizer(), demo.Config, demo, seen, TestContext.Current.CancellationToken);
        Assert.Equal(3, set.Documents);
        // The first token is given; all windows grow together.
        Assert.Equal([6, 9, 12, 15, 18, 18], seen.Values.Select(value => value.Tokens));
        Assert.All(seen.Values, value => Assert.Equal(("self", 18), (value.Source, value.Wanted)));
    }

    /// <summary>The perplexity that papers print for a reference model, with the rows joined as they join them.</summary>
    [Fact]
    public void JoinedRowsGiveThePerplexityOfThePapers()
    {
        const int Windows = 8;
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "eval", "ppl.tinystories-656k.json")));
        double[] losses = [.. golden.RootElement.GetProperty("windows.rows_joined").GetProperty("nll_sum").EnumerateArray().Take(Windows).Select(loss => loss.GetDouble() / 511)];
        string raw = TestData.Path("data", "wikitext-2", "wiki.test.raw"), rows = _folder.File("rows.jsonl");
        // The published data set: a line with its end, or nothing where it is blank.
        File.WriteAllLines(rows, File.ReadAllText(raw).Split('\n').Take(600).Select(line => new JsonObject { ["text"] = string.IsNullOrWhiteSpace(line) ? "" : line + "\n" }.ToJsonString()));
        using var device = new CpuDevice();
        using CausalModel model = ModelSource.Open(TestData.Path("models", "tinystories-656k"), device);
        foreach (string file in new[] { raw, rows })
        {
            var job = new EvaluationJob { Model = model, Text = file, JoinRows = true, AddBos = AddBos.No, Windows = new TextWindowOptions { Context = 512, Windows = Windows } };
            EvaluationResult result = new EvaluationRun().Run(job, new Silent(), TestContext.Current.CancellationToken);
            Assert.Equal(1, result.Perplexity!.Value / Math.Exp(losses.Average()), 2e-5);
        }
    }

    private sealed class Progress : IProgress<CalibrationProgress>
    {
        public List<CalibrationProgress> Values { get; } = [];

        public void Report(CalibrationProgress value) => Values.Add(value);
    }

    private sealed class Silent : IRunObserver
    {
        public void LogTo(string file)
        {
        }

        public void Stage(string name)
        {
        }

        public void Note(string text)
        {
        }

        public void Warn(string text)
        {
        }

        public void BeginBlocks(int blocks, int finished)
        {
        }

        public void Step(BlockProgress step)
        {
        }

        public void Block(BlockReport report)
        {
        }

        public void Progress(long done, long total)
        {
        }
    }

    private string Part(string name, int characters)
    {
        string path = _folder.File($"{characters}-{name}");
        File.WriteAllText(path, File.ReadAllText(Path.Combine(TestData.Demo, name))[..characters]);
        return path;
    }
}
