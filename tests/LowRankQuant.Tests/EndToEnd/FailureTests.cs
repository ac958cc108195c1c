namespace LowRankQuant.Tests.EndToEnd;

/// <summary>When things go wrong: one clear line, the right exit code, and nothing that looks like a result.</summary>
public sealed class FailureTests
{
    private static readonly string CalibrationText = Path.Combine(TestData.Demo, "calibration.txt");

    private static readonly string[] Learning =
    [
        "--method", "lrq", "--samples", "4", "--held-out", "0", "--keep-best", "false", "--sequence-length", "32", "--iterations", "2", "--rank", "4",
    ];

    [Theory]
    [InlineData("no-weights", "no-weights", "model.safetensors")]
    [InlineData("no-config", "config.json", "Hugging Face folder")]
    [InlineData("broken-config", "config.json", "JSON")]
    [InlineData("pickle", "pytorch_model.bin", "safetensors")]
    [InlineData("truncated", "model.safetensors", "bytes")]
    [InlineData("nan", "model.layers.2.mlp.up_proj.weight", "NaN at element 10")]
    [InlineData("infinity", "model.layers.2.mlp.up_proj.weight", "-Infinity at element 10")]
    [InlineData("absent", "model.layers.2.mlp.up_proj.weight", "absent")]
    [InlineData("misshapen", "model.layers.2.mlp.up_proj.weight", "[256, 768]")]
    [InlineData("dtype", "model.layers.2.mlp.up_proj.weight", "I16")]
    public async Task ABadModelIsNamed(string damage, params string[] expected)
    {
        using var folder = new TemporaryFolder();
        string model = DamagedDemo.Create(folder, damage), rounded = folder.File("rounded"), learned = folder.File("learned");
        await Refused(rounded, expected, ["quantize", model, "--out", rounded, "--method", "rtn"]);
        await Refused(learned, expected, ["quantize", model, "--out", learned, "--calibration", CalibrationText, .. Learning]);
    }

    // Round to nearest takes it, see UnknownFamilyTests.
    [Fact]
    public async Task AnArchitectureThatNoFamilyKnowsIsRefusedWhereTheModelIsRun()
    {
        using var folder = new TemporaryFolder();
        string model = DamagedDemo.Create(folder, "architecture"), learned = folder.File("learned");
        await Refused(learned, ["'mamba'", "by the keys of its configuration: llama"], ["quantize", model, "--out", learned, "--calibration", CalibrationText, .. Learning]);
    }

    [Theory]
    [InlineData("absent")]
    [InlineData("misshapen")]
    public async Task WhatCanBeKnownIsToldBeforeTheFirstBlock(string damage)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run("quantize", DamagedDemo.Create(folder, damage), "--out", output, "--method", "rtn");
        Assert.Equal(1, result.Code);
        Assert.DoesNotContain("block 1", result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AModelWithoutATokenizerIsRefusedWhereATextIsRead()
    {
        using var folder = new TemporaryFolder();
        string model = DamagedDemo.Create(folder, "no-tokenizer"), output = folder.File("out");
        CliResult result = await Refused(output, ["no-tokenizer", "tokenizer.json"], ["quantize", model, "--out", output, "--calibration", CalibrationText, .. Learning]);
        Assert.DoesNotContain("block 1", result.Out, StringComparison.Ordinal);
        await Refused(output, ["no-tokenizer", "tokenizer.json"], ["quantize", model, "--out", output, "--method", "rtn", "--eval-text", CalibrationText]);
    }

    [Fact]
    public async Task MissingFilesAreNamedBeforeTheWork()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out"), missing = folder.File("nothing.txt");
        await Refused(output, ["no/such/model", "does not exist"], ["quantize", "no/such/model", "--method", "rtn", "--out", output]);
        CliResult calibration = await Refused(output, [missing], ["quantize", TestData.Demo, "--calibration", missing, "--out", output, .. Learning]);
        string[] rounding = ["quantize", "demo", "--method", "rtn", "--eval-windows", "1", "--out", output];
        CliResult evaluation = await Refused(output, [missing], [.. rounding, "--eval-text", missing]);
        Assert.All([calibration, evaluation], result => Assert.DoesNotContain("block 1", result.Out, StringComparison.Ordinal));
        await Refused(output, [missing], ["eval", TestData.Demo, "--text", missing]);
        await Refused(output, [missing], ["eval", TestData.Demo, "--ids", missing]);
        // With the right name the same folder takes the run.
        Assert.Equal(0, (await Lrq.Run(rounding)).Code);
    }

    [Fact]
    public async Task IdsBeyondTheVocabularyAreNamed()
    {
        using var folder = new TemporaryFolder();
        string ids = folder.File("ids.jsonl"), output = folder.File("out");
        File.WriteAllText(ids, $"[1,2,99999,{string.Join(',', Enumerable.Repeat(5, 300))}]\n");
        string[] calibration = ["--calibration", ids, "--calibration-format", "ids"];
        await Refused(output, ["99999", "2048"], ["quantize", TestData.Demo, "--out", output, .. calibration, .. Learning]);
        await Refused(output, ["99999", "2048"], ["eval", TestData.Demo, "--ids", ids]);
    }

    [Fact]
    public async Task ATextThatIsTooShortSaysWhatItHasAndWhatIsNeeded()
    {
        using var folder = new TemporaryFolder();
        string text = folder.File("short.txt"), output = folder.File("out");
        File.WriteAllText(text, "Once upon a time there was a very short text.");
        CliResult result = await Refused(output, ["need 128"], ["quantize", TestData.Demo, "--calibration", text, "--out", output, .. Learning]);
        Assert.Matches(@" \d+ tokens", result.Error);
        File.WriteAllText(text, "");
        await Refused(output, ["short.txt", "is empty"], ["quantize", TestData.Demo, "--method", "rtn", "--eval-text", text, "--out", output]);
    }

    [Fact]
    public async Task TooLittleMemorySaysWhatIsNeeded()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Refused(output, ["1 MiB", "--memory"], ["quantize", "demo", "--method", "rtn", "--memory", "1M", "--out", output]);
        Assert.Matches(@"needs about \d+ MiB", result.Error);
        Assert.DoesNotContain("defect", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AGgufFileOfAnUnsupportedTypeIsRefusedByName()
    {
        using var folder = new TemporaryFolder();
        byte[] file = File.ReadAllBytes(TestData.Path("golden", "gguf", "tinystories-656k", "model-f16.gguf"));
        // I16 (25) is as large as F16 (1).
        ReadOnlySpan<byte> name = "blk.0.attn_q.weight"u8;
        int type = file.AsSpan().IndexOf(name) + name.Length + 4 + (2 * 8);
        Assert.Equal(1, BitConverter.ToInt32(file, type));
        file[type] = 25;
        string path = folder.File("model.gguf"), output = folder.File("out");
        File.WriteAllBytes(path, file);
        await Refused(output, ["blk.0.attn_q.weight", "I16"], ["quantize", path, "--method", "rtn", "--out", output]);
    }

    [Fact]
    public async Task HostileGgufFilesAreRefusedInOneLine()
    {
        foreach (string file in Directory.EnumerateFiles(TestData.Path("golden", "gguf", "hostile"), "*.gguf").Order(StringComparer.Ordinal).Some())
            await Refused("", [Path.GetFileName(file)], ["inspect", file]);
    }

    [Theory]
    [InlineData("--bits 9", "--bits 9")]
    [InlineData("--bits 1", "--bits 1")]
    [InlineData("--group-size 7", "8, 16, 32, 64, 128, 256")]
    [InlineData("--method quip", "the methods are lrq, lrq-hybrid, flexround, rtn")]
    [InlineData("--start best", "minmax, search")]
    [InlineData("--format gguf", "compressed-tensors, dense")]
    [InlineData("--group-size tensor --method lrq", "tensor")]
    [InlineData("--preset slow", "fast")]
    [InlineData("--sequence-length 4096", "512")]
    [InlineData("--eval-windows 0", "--eval-windows 0")]
    public async Task ABadRequestIsRefusedBeforeAnythingIsMade(string options, string expected)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run(["quantize", "demo", "--out", output, .. options.Split(' ')]);
        Assert.Equal(2, result.Code);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.All(DemoRunTests.Lines(result.Error), line => Assert.StartsWith("error: ", line, StringComparison.Ordinal));
        Assert.False(Directory.Exists(output));
    }

    private static async Task<CliResult> Refused(string output, string[] expected, string[] command)
    {
        CliResult result = await Lrq.Run(command);
        Assert.True(result.Code == 1, $"{string.Join(' ', command)} gave {result.Code}: {result.Error}");
        string line = Assert.Single(DemoRunTests.Lines(result.Error));
        Assert.StartsWith("error: ", line, StringComparison.Ordinal);
        foreach (string word in expected) Assert.Contains(word, line, StringComparison.Ordinal);
        Assert.DoesNotContain("defect of lrq", line, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", result.Error + result.Out, StringComparison.Ordinal);
        if (output.Length > 0) Assert.False(File.Exists(Path.Combine(output, "config.json")));
        return result;
    }
}
