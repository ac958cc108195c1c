using LowRankQuant.Formats.Peft;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Runs;

namespace LowRankQuant.Tests.Cli;

/// <summary>An option that is accepted does something. What could not do anything beside the others is refused by its name.</summary>
public sealed class IdleOptionTests
{
    private const string Text = "--calibration text.txt";

    [Theory]
    // Branches: who makes none has no adapter.
    [InlineData("--method rtn --adapter-form padded", "--adapter-form says how low-rank branches are written, and this run makes none")]
    [InlineData($"--method lrq {Text} --adapter-form pattern", "--adapter-form says how")]
    [InlineData($"--method svd --rank 0 {Text} --adapter-form padded", "--adapter-form says how")]
    [InlineData($"--method flrq --extra-size 0 {Text} --adapter-form padded", "--adapter-form says how")]
    [InlineData($"--method flrq+ --target-bits 3.2 --target llama.cpp {Text} --adapter-form padded", "--adapter-form says how")]
    [InlineData($"--method svd {Text} --adapter-form padded --format dense", "--adapter-form does not apply to --format dense")]
    [InlineData($"--method flrq+ --rank 0 {Text} --factor-bits 8", "--factor-bits is about low-rank branches, and no layer gets one")]
    [InlineData($"--method flrq+ --extra-size 0 {Text} --weigh-outputs true", "--weigh-outputs is about low-rank branches")]
    [InlineData($"--method flrq --rank 0 {Text} --sketch block", "--sketch is about low-rank branches")]
    [InlineData($"--method flrq --extra-size 0 {Text} --power-iterations 3", "--power-iterations is about low-rank branches")]
    [InlineData($"--method flrq --extra-size 0 --residual lrq {Text} --train-branch true", "--train-branch is about low-rank branches")]
    // Calibration text: who has none does not read it.
    [InlineData("--method rtn --add-bos yes", "--add-bos needs a text, from --calibration or --eval-text")]
    [InlineData("--method lrq --calibration ids.ids --add-bos yes", "--add-bos needs a text")]
    [InlineData("--method lrq --calibration some.jsonl --calibration-format ids --add-bos yes", "--add-bos needs a text")]
    [InlineData("--method lrq --calibration self --add-bos yes", "--add-bos needs a text")]
    [InlineData("--method rtn --text-field body", "--text-field needs --calibration")]
    [InlineData("--method rtn --calibration-format json", "--calibration-format needs --calibration")]
    [InlineData("--method lrq --calibration self --text-field body", "--text-field does not apply to --calibration self")]
    [InlineData("--method lrq --calibration self --calibration-format text", "--calibration-format does not apply to --calibration self")]
    [InlineData($"--method lrq {Text} --text-field body", "--text-field is for json, jsonl, csv and parquet files")]
    [InlineData("--method lrq --calibration some.jsonl --calibration-format text --text-field body", "--text-field is for json, jsonl, csv and parquet files")]
    [InlineData($"--method rtn {Text} --eval-text other.txt", "--calibration does not apply to method rtn beside --eval-text")]
    [InlineData("--method rtn --preset paper", "--preset does not apply to method rtn: without --calibration")]
    [InlineData("--method rtn --samples 3", "--samples does not apply to method rtn")]
    // Measurement.
    [InlineData("--method rtn --eval-windows 3", "--eval-windows needs --eval-text")]
    [InlineData("--method rtn --eval-context 64", "--eval-context needs --eval-text")]
    [InlineData($"--method lrq {Text} --eval-windows 3", "--eval-windows needs --eval-text")]
    [InlineData("--method rtn --in-depth", "--in-depth looks at a result on a text, and this run is measured on none; name an --eval-text")]
    [InlineData($"--method rtn {Text} --held-out 0 --in-depth", "--in-depth looks at a result on a text")]
    [InlineData($"--method lrq {Text} --swap-windows 2", "--swap-windows is for --in-depth")]
    [InlineData($"--method lrq {Text} --blocks 1 --in-depth", "--in-depth looks at a whole result, and --blocks makes none")]
    [InlineData($"--method awq {Text} --in-depth --swap-windows 1", "--swap-windows 1: transforms of the run move factors")]
    // Grids.
    [InlineData($"--method lrq {Text} --grid q4_k --start minmax", "--start does not apply to two-level grids")]
    [InlineData("--method rtn --grid q4_k --start search", "--start does not apply to two-level grids")]
    [InlineData($"--method gptq {Text} --static-groups true", "--static-groups is about groups of weights, and a row has one scale here; give --group-size, or leave it out")]
    [InlineData($"--method gptq {Text} --grid q4_k --static-groups true", "--static-groups does not apply to two-level grids")]
    [InlineData($"--method gptq {Text} --group-size 64 --act-order true --static-groups false", "--static-groups false does not go with --act-order true")]
    [InlineData($"--method awq {Text} --grid q4_k --clip true", "--clip does not apply to two-level grids")]
    [InlineData("--method rtn --on-misfit nearest", "--on-misfit needs --target")]
    [InlineData("--method rtn --tensor-parallel 2", "--tensor-parallel needs --target vllm")]
    [InlineData($"--method flrq+ {Text} --widths fixed", "--widths needs --target-bits")]
    [InlineData($"--method rtn --bits 2 --group-size 16 --target llama.cpp --on-misfit nearest {Text} --tune-steps 4", "--tune-steps does not apply to two-level grids or grids of floats, on which all layers will lie")]
    [InlineData($"--method lrq {Text} --tune-rate 0.1", "--tune-rate needs --tune-steps")]
    [InlineData($"--method lrq {Text} --residual-rank 4", "--residual-rank does not apply to method lrq")]
    public async Task WhatCouldDoNothingIsRefusedByName(string options, string message)
    {
        var cli = new CliHarness();
        string[] line = [TestData.Demo, .. options.Split(' ')];
        Assert.Equal(2, await cli.Run(["quantize", .. line, "--out", "out"]));
        string problem = Assert.Single(cli.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith($"error: {message}", problem, StringComparison.Ordinal);
        Assert.Null(cli.Quantized);
    }

    [Theory]
    [InlineData("quantize demo --method lrq --text-field body", "--text-field is for json, jsonl, csv and parquet files")]
    [InlineData("quantize demo --method lrq --calibration-format json", "--calibration-format needs --calibration")]
    [InlineData("quantize demo --method rtn --adapter-form padded", "--adapter-form says how")]
    [InlineData("plan demo --method rtn --adapter-form padded", "--adapter-form says how")]
    [InlineData("plan demo --method rtn --preset fast", "--preset does not apply to method rtn")]
    public async Task TheDemoAndPlansAreHeldToTheSame(string line, string message)
    {
        using var folder = new TemporaryFolder();
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run([.. line.Split(' '), "--out", folder.File("out")]));
        Assert.StartsWith($"error: {message}", Assert.Single(cli.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatCanDoSomethingReachesTheJob()
    {
        QuantizeJob job = await Accepted("--method rtn --eval-text some.txt --add-bos yes");
        Assert.Equal((AddBos.Yes, null), (job.AddBos, job.AdapterForm));
        job = await Accepted($"--method svd {Text} --adapter-form padded --add-bos no");
        Assert.Equal((AdapterForm.Padded, AddBos.No, AddBos.No), (job.AdapterForm, job.AddBos, job.Calibration!.AddBos));
        Assert.Equal("body", (await Accepted("--method lrq --calibration text.txt --calibration some.json.gz --text-field body")).Calibration!.TextField);
        Assert.Equal(5, (await Accepted($"--method rtn {Text} --preset paper --seed 4 --samples 4 --held-out 5 --sequence-length 32")).Recipe.HeldOut);
        Assert.Equal(AddBos.No, (await Accepted("--method lrq --calibration ids.ids --add-bos no")).Calibration!.AddBos);
        Assert.Equal(9ul, (await Accepted($"--method rtn {Text} --tune-steps 2 --eval-text some.txt --seed 9 --preset fast")).Recipe.Seed);
        Assert.Equal(8, (await Accepted($"--method flrq+ {Text} --target-bits 3 --factor-bits 8 --weigh-outputs true --adapter-form pattern")).Recipe.Method.FactorBits);
    }

    [Fact]
    public async Task TextThatRoundToNearestIsGivenIsWhatItIsMeasuredOn()
    {
        var cli = new CliHarness();
        Assert.Equal((0, ""), (await cli.Run("quantize", "demo", "--method", "rtn", "--calibration", "text.txt", "--samples", "4", "--held-out", "2", "--out", "out"), cli.Error));
        Assert.Null(cli.Quantized!.EvaluationText);
        Assert.Equal(2, cli.Quantized.Calibration!.HeldOut);
    }

    [Theory]
    [InlineData("file", "is a file; name a folder")]
    [InlineData("file/within", "is a file; name a folder")]
    [InlineData("model", "holds the model itself")]
    [InlineData("model/within/deeper", "lies within the model's folder")]
    [InlineData("", "holds the model itself")]
    public async Task AnOutputThatCannotBeIsRefusedByPlanAndRunAlike(string output, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("file"), "x");
        Directory.CreateDirectory(folder.File("model"));
        foreach (string file in Directory.GetFiles(TestData.Demo)) File.Copy(file, Path.Combine(folder.File("model"), Path.GetFileName(file)));
        string[] line = [folder.File("model"), "--method", "rtn", "--out", Path.Combine(folder.Path, output)];
        foreach (string[] command in new[] { ["quantize", .. line], new[] { "plan", "--untimed" }.Concat(line).ToArray() })
        {
            var cli = new CliHarness();
            Assert.Equal(2, await cli.Run(command));
            Assert.Contains(message, cli.Error, StringComparison.Ordinal);
        }
    }

    private static async Task<QuantizeJob> Accepted(string options)
    {
        var cli = new CliHarness();
        Assert.Equal((0, ""), (await cli.Run(["quantize", TestData.Demo, .. options.Split(' '), "--out", "out"]), cli.Error));
        return cli.Quantized!;
    }
}
