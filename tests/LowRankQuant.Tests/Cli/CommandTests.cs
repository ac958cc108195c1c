using System.Text.Json;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Formats;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Evaluating;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.Cli;

public class CommandTests
{
    private static readonly string[] Usual = ["quantize", TestData.Demo, "--out", "out", "--calibration", "text.txt"];

    [Theory]
    [InlineData("quantize", "--recipe --preset --method --bits --group-size --symmetric --grid --target --samples --threads --memory --calibration --eval-text --eval-windows --in-depth --out --overwrite --json MODEL")]
    [InlineData("recipe", "--recipe --method --bits --json MODEL")]
    [InlineData("methods", "--json NAME")]
    [InlineData("eval", "--tasks --data --harness --limit --offset --shots --apply-chat-template --items --against --perplexity")]
    [InlineData("eval", "--reference --reference-cache --in-depth --swap-windows --products --text --text-format --text-field --join-rows --ids --context --stride --windows --partial-window --average --add-bos --threads --memory --json --kernels MODEL")]
    [InlineData("correct", "--calibration --calibration-format --text-field")]
    [InlineData("report", "--out --format --tasks --against --harness RESULT")]
    [InlineData("compare", "--against --harness --json ITEMS")]
    [InlineData("inspect", "--json --tensors PATH")]
    [InlineData("pull", "--revision --include --offline --cache-dir --json NAME")]
    [InlineData("families", "--json")]
    [InlineData("convert", "--to --out --adapter --max-rank --gptq-format --linear --embedding --head --on-misfit --dtype --shard-size --weights-only --overwrite --json SOURCE")]
    [InlineData("export", "--to --out --adapter --max-rank --gptq-format --linear --embedding --head --on-misfit --dtype --shard-size --weights-only --overwrite --json RUN")]
    [InlineData("verify", "--against --json PATH")]
    public async Task HelpListsEveryOption(string verb, string expected)
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run(verb, "--help"));
        foreach (string option in expected.Split(' ')) Assert.Matches($@"(^|\s|<){option}(\s|>|$)", cli.Out);
    }

    // What everybody needs first is one screen; the rest is a word away.
    [Fact]
    public async Task MoreOptionsAreListedWhereTheyAreAskedFor()
    {
        string[] everybody = "--layers --embedding --head --on-misfit --tensor-parallel --scale-dtype --held-out --sequence-length --seed --calibration-format --text-field --add-bos --eval-text-format --join-rows --tune-steps --tune-rate --tune-batch --tune-samples --format --adapter-form --shard-size --kernels --blocks".Split(' ');
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("quantize", "--help"));
        Assert.All(everybody, option => Assert.DoesNotContain($" {option} ", cli.Out, StringComparison.Ordinal));
        Assert.Contains("'lrq help COMMAND all'", cli.Out, StringComparison.Ordinal);
        cli = new CliHarness();
        Assert.Equal(0, await cli.Run("help", "quantize", "all"));
        Assert.All(everybody.Append("--rank").Append("--target-bits"), option => Assert.Matches($@"\s{option}\s", cli.Out));
    }

    [Fact]
    public async Task MethodsListTheirOptionsAndWhatTheyNeed()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("methods"));
        foreach (string name in "lrq lrq-hybrid flexround rtn flrq flrq+ svd lqer l2qer qera-approx qera-exact".Split(' ')) Assert.Matches($@"(?m)^{System.Text.RegularExpressions.Regex.Escape(name)}\s", cli.Out);
        cli = new CliHarness();
        Assert.Equal(0, await cli.Run("methods", "lrq"));
        Assert.Contains("gradients through a block at a time", cli.Out, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^--rank +N\|full +128 +1024; 2048 from 30 billion parameters +Rank", cli.Out);
        foreach (string option in "--iterations --learning-rate --batch --loss --keep-best --start".Split(' ')) Assert.Matches($@"(?m)^{option}\s", cli.Out);
        Assert.DoesNotContain("--epochs", cli.Out, StringComparison.Ordinal);
        cli = new CliHarness();
        Assert.Equal(2, await cli.Run("methods", "gptq2"));
        Assert.Contains("'gptq2' is no method; the methods are lrq,", cli.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task PresetsShowWhatTheyGive()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("presets"));
        Assert.Matches(@"(?m)^--iterations +150 +5000 +lrq, lrq-hybrid, flexround", cli.Out);
        Assert.Matches(@"(?m)^--samples +256 +512 .*64 for flrq, flrq\+, gptq, svd", cli.Out);
        Assert.Matches(@"(?m)^w4a16-lrq +4-bit weights", cli.Out);
    }

    [Fact]
    public async Task HelpListsEveryVerb()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("--help"));
        Assert.All(["quantize", "eval", "compare", "inspect", "families", "convert", "export", "verify", "--version"], word => Assert.Contains(word, cli.Out, StringComparison.Ordinal));
    }

    [Fact]
    public async Task VersionIsPrinted()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("--version"));
        Assert.Matches(@"^\d+\.\d+\.\d+", cli.Out);
    }

    [Theory]
    [InlineData("compress demo")]
    [InlineData("quantize")]
    [InlineData("quantize demo --bitz 3")]
    [InlineData("quantize demo --bits 3 --bits 4")]
    [InlineData("inspect demo other")]
    public async Task WhatCannotBeParsedIsABadRequest(string line)
    {
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)));
        Assert.StartsWith("error: ", cli.Error, StringComparison.Ordinal);
        Assert.Contains("--help", cli.Error, StringComparison.Ordinal);
        Assert.Null(cli.Quantized);
    }

    [Fact]
    public async Task AllProblemsOfARequestAreToldAtOnce()
    {
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run(
            "quantize", TestData.Demo, "--bits", "nine", "--rank", "-3", "--learning-rate", "0", "--memory", "lots", "--threads", "0", "--start", "best",
            "--group-size", "100", "--eval-windows", "0", "--keep-best", "perhaps", "--blocks", "5", "--text-field", "body"));
        string[] options = ["--bits nine", "--rank -3", "--learning-rate 0", "--memory lots", "--threads 0", "--start best", "--group-size 100", "--eval-windows 0",
            "--keep-best perhaps", "--blocks 5", "--text-field needs", "--out is missing", "give --calibration FILE"];
        foreach (string option in options) Assert.Contains(option, cli.Error, StringComparison.Ordinal);
        Assert.Equal(options.Length, cli.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Null(cli.Quantized);
    }

    [Fact]
    public async Task ARequestAndItsModelAreToldTogether()
    {
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run("quantize", "no/such/model", "--bits", "x", "--out", "out"));
        Assert.Contains("--bits x", cli.Error, StringComparison.Ordinal);
        Assert.Contains("no/such/model does not exist", cli.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task OptionsReachTheJob()
    {
        var cli = new CliHarness();
        int code = await cli.Run([.. Usual, "--calibration", "more.jsonl", "--method", "flexround", "--bits", "3", "--group-size", "64", "--symmetric", "--iterations", "7",
            "--learning-rate", "1e-3", "--batch", "3", "--samples", "9", "--sequence-length", "33", "--start", "search", "--scale-dtype", "fp32", "--loss", "plain",
            "--keep-best", "false", "--held-out", "4", "--seed", "18446744073709551615", "--memory", "1.5G", "--format", "dense", "--shard-size", "20M",
            "--calibration-format", "jsonl", "--text-field", "body", "--add-bos", "yes", "--eval-text", "eval.txt", "--eval-windows", "5", "--overwrite", "--blocks", "2"]);
        Assert.Equal((0, ""), (code, cli.Error));
        QuantizeJob job = cli.Quantized!;
        Recipe recipe = job.Recipe;
        Assert.Equal(("flexround", 3, Granularity.Group, 64, true), (recipe.Method.Method, recipe.Bits, recipe.Granularity, recipe.GroupSize, recipe.Symmetric));
        Assert.Equal((7, 1e-3, 3, 9, 33, 4), (recipe.Method.Training!.Iterations, recipe.Method.Training.LearningRate, recipe.Batch, recipe.Samples, recipe.SequenceLength, recipe.HeldOut));
        Assert.Equal((GridStart.Search, ScaleType.Float32, LossWeighting.Plain, false, ulong.MaxValue), (recipe.Method.Start, recipe.ScaleType, recipe.Loss, recipe.Method.Training.KeepBest, recipe.Seed));
        CalibrationOptions calibration = job.Calibration!;
        Assert.Equal(["text.txt", "more.jsonl"], calibration.Sources.Select(source => source.Path));
        Assert.Equal((TextFormat.JsonLines, "body", AddBos.Yes, 9, 4, 33), (calibration.Format, calibration.TextField, calibration.AddBos, calibration.Samples, calibration.HeldOut, calibration.SequenceLength));
        Assert.Equal((1536L << 20, OutputFormat.Dense, 20L << 20, "out"), (job.MemoryBytes, job.Format, job.ShardBytes, job.Output));
        Assert.Equal(("eval.txt", 5, true, 2), (job.EvaluationText, job.EvaluationWindows, job.Overwrite, job.Blocks));
    }

    [Fact]
    public async Task WithJsonStandardOutputIsOneObject()
    {
        var cli = new CliHarness
        {
            During = observer =>
            {
                observer.Stage("reading");
                observer.BeginBlocks(2, 0);
                observer.Step(new BlockProgress(0, 1, 10, 3.5));
                observer.Block(new BlockReport(0, 2, 1, 1.5, 2.5, 4));
            },
            Report = new RunReport
            {
                Method = "lrq",
                Scheme = "w3",
                Output = "out",
                BitsPerWeight = 3.25,
                Seconds = 2,
                PeakMemoryBytes = 5,
                Blocks = [new BlockReport(0, 2, 1, null, null, 4)],
                Result = new EvaluationResult { Perplexity = 12.5, StandardErrors = new Dictionary<string, double> { ["perplexity"] = 0.5 } },
            },
        };
        Assert.Equal(0, await cli.Run([.. Usual, "--json"]));
        using JsonDocument json = JsonDocument.Parse(cli.Out);
        Assert.Single(cli.Out.TrimEnd('\n').Split('\n'));
        JsonElement root = json.RootElement;
        Assert.Equal(12.5, root.GetProperty("result").GetProperty("perplexity").GetDouble());
        Assert.Equal(0.5, root.GetProperty("result").GetProperty("standardErrors").GetProperty("perplexity").GetDouble());
        Assert.All(["klDivergence", "top1Agreement", "tokens", "windows", "seconds"], key => Assert.Equal(JsonValueKind.Null, root.GetProperty("result").GetProperty(key).ValueKind));
        Assert.All(["fullPrecision", "rtn"], key => Assert.Equal(JsonValueKind.Null, root.GetProperty(key).ValueKind));
        Assert.All(["method", "scheme", "output", "bitsPerWeight", "seconds", "peakMemoryBytes"], key => Assert.NotEqual(JsonValueKind.Null, root.GetProperty(key).ValueKind));
        JsonElement block = root.GetProperty("blocks")[0];
        Assert.All(["index", "lossBefore", "lossAfter", "heldOutLoss", "seconds"], key => Assert.True(block.TryGetProperty(key, out _)));
        Assert.Contains("block 1/2  loss 2.000 -> 1.000", cli.Error, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(WhatGoesWrong))]
    public async Task FailuresAreOneMessageAndACode(Exception failure, int code, string message)
    {
        var cli = new CliHarness { During = _ => throw failure };
        Assert.Equal(code, await cli.Run(Usual));
        Assert.Contains(message, cli.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", cli.Error, StringComparison.Ordinal);
    }

    public static TheoryData<Exception, int, string> WhatGoesWrong() => new()
    {
        { new OperationCanceledException(), 130, "the same command goes on from there" },
        { new RunFolderException("out holds another run"), 2, "error: out holds another run" },
        { new RecipeException(["first", "second"]), 2, "error: first\nerror: second\n" },
        { new CheckpointException("tensor 'x' is absent"), 1, "error: tensor 'x' is absent\n" },
        { new CalibrationException("too short"), 1, "error: too short\n" },
        { new EvaluationException("no text"), 1, "error: no text\n" },
        { new IOException("disk full"), 1, "error: disk full\n" },
        { new AggregateException(new CheckpointException("inner")), 1, "error: inner\n" },
#pragma warning disable CA2201 // What the runtime throws is what is handled here.
        { new OutOfMemoryException(), 1, "--memory" },
#pragma warning restore CA2201
        { new InvalidOperationException("odd"), 1, "InvalidOperationException: odd" },
    };

    [Fact]
    public async Task TheReservedDemoAndAFolderOfThatNameAreTwoThings()
    {
        var bundled = new CliHarness();
        Assert.Equal(0, await bundled.Run("inspect", "demo", "--json"));
        using JsonDocument json = JsonDocument.Parse(bundled.Out);
        Assert.Equal(4, json.RootElement.GetProperty("layers").GetInt32());
        Assert.StartsWith(AppContext.BaseDirectory, json.RootElement.GetProperty("location").GetString(), StringComparison.Ordinal);
        var folder = new CliHarness();
        Assert.Equal(1, await folder.Run("inspect", "./demo"));
        Assert.Contains("./demo does not exist", folder.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheDemoBringsItsTexts()
    {
        var evaluated = new CliHarness();
        Assert.Equal(0, await evaluated.Run("eval", "demo"));
        Assert.Equal("evaluation.txt", Path.GetFileName(evaluated.Evaluated!.Text));
        var rounded = new CliHarness();
        Assert.Equal(0, await rounded.Run("quantize", "demo", "--method", "rtn", "--out", "out"));
        Assert.Equal("evaluation.txt", Path.GetFileName(rounded.Quantized!.EvaluationText));
        Assert.Null(rounded.Quantized.Calibration);
    }

    [Fact]
    public async Task TheDemoCalibratesOnItsOwnText()
    {
        var cli = new CliHarness();
        Assert.Equal((0, ""), (await cli.Run("quantize", "demo", "--method", "lrq", "--bits", "3", "--out", "out"), cli.Error));
        CalibrationOptions calibration = cli.Quantized!.Calibration!;
        Assert.Equal("calibration.txt", Path.GetFileName(Assert.Single(calibration.Sources).Path));
        CalibrationSet set = CalibrationLoader.Load(calibration, cli.Quantized.Model.Checkpoint.LoadTokenizer(), cli.Quantized.Model.Config, null, null, TestContext.Current.CancellationToken);
        Assert.Equal(calibration.Samples, set.Windows.Length);
    }

    [Fact]
    public async Task OptionsOfEvalReachTheJob()
    {
        var cli = new CliHarness();
        Assert.Equal((0, ""), (await cli.Run("eval", TestData.Demo, "--reference", TestData.Demo, "--text", "t.txt", "--context", "128", "--stride", "64", "--windows", "3",
            "--partial-window", "drop", "--average", "tokens", "--add-bos", "no", "--memory", "1G", "--reference-cache", "states", "--in-depth", "--swap-windows", "2"), cli.Error));
        EvaluationJob job = cli.Evaluated!;
        Assert.Equal(new TextWindowOptions { Context = 128, Stride = 64, Windows = 3, KeepPartial = false }, job.Windows);
        Assert.Equal(("t.txt", PerplexityAverage.Tokens, AddBos.No, 1L << 30), (job.Text, job.Average, job.AddBos, job.MemoryBytes));
        Assert.NotNull(job.Reference);
        Assert.Equal("states", job.ReferenceCache);
        Assert.Equal(new DepthOptions { SwapWindows = 2 }, job.Depth);
    }

    [Theory]
    [InlineData("", "--text or --ids is missing")]
    [InlineData("--text a --ids b", "exclude each other")]
    [InlineData("--ids b --stride 3", "--stride does not apply to --ids")]
    [InlineData("--text a --context 4096", "the model has 512 positions")]
    [InlineData("--text a --stride 600", "--stride 600")]
    [InlineData("--text a --average words", "windows, tokens")]
    [InlineData("--text a --reference-cache c", "--reference-cache keeps what a --reference says")]
    [InlineData("--tasks boolq --reference demo --reference-cache c", "--reference-cache keeps what a --reference says")]
    [InlineData("--text a --tasks boolq --perplexity rolling --reference demo --reference-cache c", "--reference-cache does not apply to --perplexity rolling")]
    [InlineData("--text a --in-depth", "--in-depth says where a model differs from a --reference on a --text or --ids; name both")]
    [InlineData("--tasks boolq --reference demo --in-depth", "--in-depth says where")]
    [InlineData("--text a --tasks boolq --perplexity rolling --reference demo --in-depth", "--in-depth does not apply to --perplexity rolling")]
    [InlineData("--text a --reference demo --swap-windows 2", "--swap-windows is for --in-depth")]
    [InlineData("--text a --reference demo --in-depth --swap-windows -1", "--swap-windows -1: must be at least 0")]
    public async Task BadEvalRequestsAreRefused(string options, string message)
    {
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run(["eval", TestData.Demo, .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)]));
        Assert.Contains(message, cli.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pytorch_model.bin", "pickle")]
    [InlineData("consolidated.00.pth", "pickle")]
    [InlineData("model.gguf", "name the file")]
    [InlineData("notes.txt", "config.json")]
    public async Task FoldersThatAreNoModelsSayWhatToDo(string file, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File(file), [1, 2, 3]);
        var cli = new CliHarness();
        Assert.Equal(1, await cli.Run("inspect", folder.Path));
        Assert.Contains(message, cli.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("weights.pt", "pickle")]
    [InlineData("model.safetensors", "name the folder")]
    [InlineData("model.onnx", "is an ONNX model, which is not read")]
    [InlineData("model.gguf", "the file ends")]
    public async Task FilesThatAreNoModelsSayWhatToDo(string file, string message)
    {
        using var folder = new TemporaryFolder();
        var cli = new CliHarness();
        File.WriteAllBytes(folder.File(file), [1, 2, 3]);
        Assert.Equal(1, await cli.Run("inspect", folder.File(file)));
        Assert.Contains(message, cli.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bf16", "BF16")]
    [InlineData("fp32", "F32")]
    public async Task ConvertedModelsOpenAgain(string dtype, string stored)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("converted");
        var cli = new CliHarness();
        Assert.Equal((0, ""), (await cli.Run("convert", TestData.Demo, "--out", output, "--dtype", dtype), cli.Error));
        using var copy = LowRankQuant.Formats.Safetensors.SafetensorsFolder.Open(output);
        using var original = LowRankQuant.Formats.Safetensors.SafetensorsFolder.Open(TestData.Demo);
        Assert.Equal(original.Names.Order(StringComparer.Ordinal), copy.Names.Order(StringComparer.Ordinal));
        foreach (string name in original.Names.Some())
        {
            Assert.Equal(stored, LowRankQuant.Formats.Safetensors.SafetensorsTypes.HeaderName(copy.Tensors[name].Type));
            var expected = new float[original.ShapeOf(name).Aggregate(1L, (product, size) => product * size)];
            var actual = new float[expected.Length];
            original.ReadSingles(name, expected);
            copy.ReadSingles(name, actual);
            Assert.Equal(expected, actual);
        }
        Assert.Equal(0, await new CliHarness().Run("inspect", output));
        Assert.True(File.Exists(Path.Combine(output, "tokenizer.json")));
        Assert.Equal(2, await new CliHarness().Run("convert", TestData.Demo, "--out", output));
        Assert.Equal(0, await new CliHarness().Run("convert", TestData.Demo, "--out", output, "--overwrite"));
    }
}
