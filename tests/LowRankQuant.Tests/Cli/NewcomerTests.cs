using LowRankQuant.Cli.Output;

namespace LowRankQuant.Tests.Cli;

/// <summary>What somebody meets who does not know the program yet.</summary>
public class NewcomerTests
{
    [Theory]
    [InlineData("")]
    [InlineData("help")]
    [InlineData("--help")]
    public async Task WithoutACommandThereIsHelp(string line)
    {
        var cli = new CliHarness();
        Assert.Equal((0, ""), (await cli.Run(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)), cli.Error));
        Assert.Contains("quantize <MODEL>", cli.Out, StringComparison.Ordinal);
        Assert.Contains("Exit codes: 0 done, 1 the work failed, 2 the request was wrong, 130 stopped.", cli.Out, StringComparison.Ordinal);
        Assert.Contains("lrq quantize demo --method lrq --bits 3 --out out/demo", cli.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quantize")]
    [InlineData("plan")]
    [InlineData("eval")]
    [InlineData("correct")]
    [InlineData("report")]
    [InlineData("compare")]
    [InlineData("inspect")]
    [InlineData("families")]
    [InlineData("convert")]
    [InlineData("export")]
    [InlineData("verify")]
    public async Task HelpOfACommandIsTheSameBothWaysAndEndsInExamples(string verb)
    {
        CliHarness asked = new(), flagged = new();
        Assert.Equal((0, 0), (await asked.Run("help", verb), await flagged.Run(verb, "--help")));
        Assert.Equal(flagged.Out, asked.Out);
        Assert.Contains($"Examples:\n  lrq {verb} ", asked.Out.ReplaceLineEndings("\n"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("export")]
    [InlineData("convert")]
    public async Task ExportAndConvertSayHowTheyDiffer(string verb)
    {
        var cli = new CliHarness();
        await cli.Run("help", verb);
        Assert.Contains("export wants to be told --to, convert writes\nplain floats (--to dense) when it is not told.", cli.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quantise demo", "'quantise' is no command of lrq. Did you mean quantize? The commands are quantize, plan, ")]
    [InlineData("help quantise", "'quantise' is no command of lrq. Did you mean quantize? ")]
    [InlineData("evaluate demo", "'evaluate' is no command of lrq. Did you mean eval? ")]
    [InlineData("Inspect demo", "'Inspect' is no command of lrq. Did you mean inspect? ")]
    [InlineData("dance", "'dance' is no command of lrq. The commands are ")]
    [InlineData("quantize demo --bit 3", "--bit is no option of lrq quantize. Did you mean --bits?\n")]
    [InlineData("quantize demo --bit=3", "--bit is no option of lrq quantize. Did you mean --bits?\n")]
    [InlineData("quantize demo --calib text.txt", "--calib is no option of lrq quantize. Did you mean --calibration?\n")]
    [InlineData("quantize demo -bits 3", "-bits is no option of lrq quantize. Did you mean --bits?\n")]
    [InlineData("inspect demo --jsno", "--jsno is no option of lrq inspect. Did you mean --json?\n")]
    [InlineData("--versoin", "--versoin is no option of lrq. Did you mean --version?\n")]
    [InlineData("inspect demo --colour", "--colour is no option of lrq inspect.\n")]
    [InlineData("quantize", "MODEL is missing: lrq quantize takes one MODEL.\n")]
    [InlineData("quantize demo --bits", "--bits: the value is missing (N).\n")]
    [InlineData("quantize demo --bits 3 --bits 4", "--bits is given 2 times; give it once.\n")]
    [InlineData("quantize demo --symmetric maybe", "--symmetric maybe: must be true or false.\n")]
    [InlineData("inspect demo --json perhaps", "--json perhaps: must be true or false.\n")]
    [InlineData("inspect demo other", "'other' is too much: lrq inspect takes one PATH.\n")]
    [InlineData("--json", "--json is no option of lrq.\n")]
    public async Task AMistypedLineIsToldWhatWasMeant(string line, string expected)
    {
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run(line.Split(' ')));
        Assert.StartsWith("error: " + expected, cli.Error, StringComparison.Ordinal);
        Assert.Equal(2, cli.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.DoesNotContain("System.", cli.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "", 0)]
    [InlineData("quantise", "quantize", 1)]
    [InlineData("jsno", "json", 1)]
    [InlineData("abc", "", 3)]
    [InlineData("kitten", "sitting", 3)]
    public void DistanceCountsEdits(string a, string b, int expected) => Assert.Equal(expected, LowRankQuant.Formats.EditDistance.Between(a, b));

    [Fact]
    public async Task TheHeaderSpeaksTheTermsOfTheField()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("quantize", TestData.Demo, "--out", "out", "--method", "rtn", "--bits", "4", "--threads", "2", "--calibration", "text.txt"));
        Assert.Contains("\n4-bit weights, asymmetric, one bf16 scale and zero point per output channel; rtn: round to nearest, scales from the smallest and largest weight\n", cli.Out, StringComparison.Ordinal);
        Assert.Matches("\ncomputed on the CPU: 2 threads, [^,\n]+\n", cli.Out);
        Assert.DoesNotContain("managed", cli.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheHeaderOfALearnedRunSaysWhatIsLearnedFromWhat()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("quantize", TestData.Demo, "--out", "out", "--bits", "3", "--group-size", "64", "--symmetric", "--samples", "8", "--held-out", "2",
            "--iterations", "20", "--learning-rate", "0.005", "--rank", "16", "--scale-dtype", "fp16", "--calibration", "text.txt"));
        Assert.Contains("\n3-bit weights, symmetric, one fp16 scale per group of 64; lrq: rounding learned with scaling matrices of rank 16, first scales searched for the least error\n", cli.Out, StringComparison.Ordinal);
        Assert.Contains("-token windows, 8 to learn from and 2 held out (preset fast); 20 steps of 2 windows per block, learning rate 0.005, relative loss, the step that is best on held-out windows kept\n", cli.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cpu simd AVX-512, managed 512-bit products, 2 threads", "computed on the CPU: 2 threads, AVX-512")]
    [InlineData("cpu scalar, 1 thread", "computed on the CPU: 1 thread, scalar")]
    [InlineData("cpu simd AVX2, blas libopenblas.so.0 (SkylakeX) products, 8 threads", "computed on the CPU: 8 threads, AVX2, matrix products by blas libopenblas.so.0 (SkylakeX)")]
    public void TheMachineIsNamedPlainly(string device, string expected) => Assert.Equal(expected, RunHeader.Machine(device));
}
