using System.Text.Json.Nodes;
using LowRankQuant.Formats.Branches;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>What is stored is what is counted: the tensors of every file that is written, added up here, against what reports say.</summary>
public sealed class StoredSizeTests : IDisposable
{
    // 4 blocks of q, k, v, o, gate, up and down.
    private const int Linears = 28;
    private const double Weights = 4 * ((2 * 256 * 256) + (2 * 128 * 256) + (3 * 256 * 768));

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("rtn", "--bits", "4", "--group-size", "64")]
    [InlineData("rtn", "--bits", "3", "--group-size", "tensor")]
    [InlineData("rtn", "--grid", "q4_k")]
    [InlineData("rtn", "--layers", "down_proj=q3_k,v_proj=8:32:symmetric", "--bits", "5")]
    [InlineData("flexround", "--bits", "3")]
    [InlineData("lrq", "--bits", "2", "--symmetric", "--group-size", "32")]
    [InlineData("lrq-hybrid", "--bits", "6", "--scale-dtype", "fp32")]
    [InlineData("flrq", "--bits", "2", "--group-size", "64", "--epochs", "1")]
    [InlineData("flrq+", "--target-bits", "3", "--epochs", "0")]
    [InlineData("flrq+", "--bits", "3", "--rank", "3", "--epochs", "0", "--factor-bits", "16")]
    [InlineData("svd", "--bits", "4", "--rank", "2")]
    [InlineData("lqer", "--bits", "4", "--rank", "2")]
    [InlineData("l2qer", "--bits", "4", "--rank", "2")]
    [InlineData("qera-approx", "--bits", "4", "--rank", "2")]
    [InlineData("qera-exact", "--bits", "4", "--rank", "2")]
    public async Task EveryMethodsReportCountsTheBytesOfItsFiles(string method, params string[] more)
    {
        string output = _folder.File("run");
        JsonNode report = await Quantize(method, output, more);
        (long linears, long branches) = await CheckFolder(output, report["bitsPerWeight"]!);
        Assert.Equal((double)report["bitsPerWeight"]!, (double)report["countedBitsPerWeight"]!, 1e-12);
        JsonNode stored = report["stored"]!;
        Assert.Equal((linears, branches, branches), ((long)stored["linearBytes"]!, (long)stored["branchBytes"]!, (long)stored["countedBranchBytes"]!));
        long files = Directory.EnumerateFiles(output, "*.safetensors", SearchOption.AllDirectories).Where(file => !file.Contains(".lrq", StringComparison.Ordinal)).Sum(file => new FileInfo(file).Length);
        Assert.Equal((files, files), ((long)stored["fileBytes"]!, (long)report["resultBytes"]!));
        Assert.Equal(2048L * 256 * (method == "lrq-hybrid" ? 4 : 2), (long)stored["embeddingBytes"]!);
        Assert.Equal(9L * 256 * (method == "lrq-hybrid" ? 4 : 2), (long)stored["otherBytes"]!);
        string[] parts = ["linearBytes", "branchBytes", "embeddingBytes", "otherBytes", "overheadBytes"];
        Assert.Equal(files, parts.Sum(part => (long)stored[part]!));
        // Headers, and the shape of every packed weight.
        Assert.InRange((long)stored["overheadBytes"]!, 8, 40_000);
        if (method is not ("flrq" or "flrq+") && branches > 0) Assert.Equal(2L * 4 * 2 * ((2 * 512) + (2 * 384) + (3 * 1024)), branches);
        Assert.Equal(method is "rtn" or "flexround" or "lrq" or "lrq-hybrid", branches == 0);
    }

    [Fact]
    public async Task APeftFolderOfTheRunIsCountedAsItsFileAndTheReportSaysBoth()
    {
        string codes = _folder.File("codes"), peft = _folder.File("peft");
        string[] more = ["--bits", "3", "--rank", "2", "--epochs", "0"];
        JsonNode counted = await Quantize("flrq+", codes, more), report = await Quantize("flrq+", peft, [.. more, "--adapter-form", "pattern"]);
        (_, long bytes) = await CheckFolder(peft, report["bitsPerWeight"]!);
        Assert.Equal(Sum(Path.Combine(codes, "adapter", BranchFile.FileName)), (long)report["stored"]!["countedBranchBytes"]!);
        Assert.Equal((double)counted["bitsPerWeight"]!, (double)report["countedBitsPerWeight"]!, 1e-12);
        Assert.True((double)report["bitsPerWeight"]! > (double)report["countedBitsPerWeight"]!);
        Assert.Contains(report["warnings"]!.AsArray(), warning => warning!.ToString().Contains(FormattableString.Invariant($"holds the branches in {bytes:N0} bytes"), StringComparison.Ordinal));
        Assert.DoesNotContain(counted["warnings"]!.AsArray(), warning => warning!.ToString().Contains("holds the branches", StringComparison.Ordinal));
        // The same values to the last bit, so the same figures.
        using ICheckpoint first = CheckpointOpener.Open(codes), second = CheckpointOpener.Open(peft);
        foreach (string name in first.TensorNames) Assert.Equal(Values(first, name), Values(second, name));
        Assert.Equal((double)counted["result"]!["perplexity"]!, (double)report["result"]!["perplexity"]!);
        Assert.Equal(0, (await Lrq.Run("verify", peft, "--against", codes)).Code);
        Assert.Equal(0, (await Lrq.Run("verify", Path.Combine(codes, "adapter"), "--against", peft)).Code);
    }

    [Theory]
    [InlineData("gptq", "fp32", 4, false)]
    [InlineData("gptq", null, 4, false)]
    [InlineData("awq", "fp16", 2, true)]
    [InlineData("compressed-tensors", "bf16", 2, true)]
    [InlineData("gguf", null, 4, false)]
    [InlineData("gguf", "fp16", 2, true)]
    // A in blocks of 34 bytes with the scale and codes of its rows, which rounds nothing; B has rows of 3.
    [InlineData("gguf", "q8_0", 0, false)]
    public async Task EveryContainerAndItsAdapterAreCountedAsTheirBytes(string container, string? type, int bytesPerElement, bool rounded)
    {
        const int Rank = 3;
        string run = await RunWithCodes(Rank), output = _folder.File(container == "gguf" ? "out.gguf" : "out");
        string[] typed = type is null ? [] : ["--adapter-dtype", type];
        CliResult result = await Lrq.Run(["export", run, "--to", container, "--out", output, "--json", .. typed]);
        Assert.True(result.Code == 0, result.Error);
        JsonNode report = JsonNode.Parse(result.Out)!;
        long counted = (Rank * (512 + 1024)) + (2 * 2 * 2 * Rank);
        long expected = bytesPerElement > 0 ? bytesPerElement * Rank * (512 + 1024) : (Rank * (256 + 768) / 32 * 34) + (4L * Rank * (256 + 256));
        Assert.Equal((expected, counted, rounded), ((long)report["adapterBytes"]!, (long)report["adapterCountedBytes"]!, (bool)report["adapterRounded"]!));
        Assert.Equal(rounded, result.Error.Contains("the branches are rounded", StringComparison.Ordinal));
        string adapter = report["adapter"]!.ToString();
        CliResult inspected = await Lrq.Run("inspect", output, "--json");
        JsonNode bits = JsonNode.Parse(inspected.Out)!["bitsPerWeight"]!;
        if (container == "gguf")
        {
            Assert.Equal(expected, Sum(adapter));
            using GgufFile file = GgufFile.Open(output);
            GgufTensor[] linears = [.. file.Tensors.Values.Where(tensor => tensor.Name.StartsWith("blk.", StringComparison.Ordinal) && !tensor.Name.Contains("norm", StringComparison.Ordinal))];
            Assert.Equal(Linears, linears.Length);
            Assert.Equal(8 * linears.Sum(tensor => tensor.ByteLength) / Weights, (double)bits, 1e-12);
        }
        else
        {
            Assert.Equal(expected, Sum(Path.Combine(adapter, PeftAdapterWriter.TensorFile)));
            await CheckFolder(output, bits);
        }
        Assert.Equal(rounded ? 1 : 0, (await Lrq.Run("verify", output, "--against", run)).Code);
    }

    [Theory]
    [InlineData("gptq", "q8_0", "a PEFT folder holds fp32, fp16 or bf16")]
    [InlineData("gguf", "bf16", "a GGUF LoRA file holds fp32, fp16 or q8_0")]
    [InlineData("dense", "fp16", "name the adapter by --adapter")]
    public async Task ATypeThatAnAdapterDoesNotHaveIsRefused(string container, string type, string message)
    {
        string run = await RunWithCodes(1), output = _folder.File("out");
        CliResult refused = await Lrq.Run("export", run, "--to", container, "--adapter-dtype", type, "--out", output);
        Assert.Equal(2, refused.Code);
        Assert.Contains(message, refused.Error, StringComparison.Ordinal);
        Directory.Delete(Path.Combine(run, "adapter"), recursive: true);
        CliResult none = await Lrq.Run("export", run, "--to", "gptq", "--adapter-dtype", "fp16", "--out", output);
        Assert.Equal(2, none.Code);
        Assert.Contains("leave --adapter-dtype out", none.Error, StringComparison.Ordinal);
        Assert.False(Path.Exists(output));
    }

    [Fact]
    public async Task AnMlxFolderIsCountedWithItsBiasesAndADenseOneAsFloats()
    {
        string run = _folder.File("run"), dense = _folder.File("dense"), mlx = _folder.File("mlx");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, "--bits", "4", "--symmetric", "--group-size", "64"))).Code);
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "mlx", "--out", mlx)).Code);
        await CheckFolder(mlx, JsonNode.Parse((await Lrq.Run("inspect", mlx, "--json")).Out)!["bitsPerWeight"]!);
        CliResult result = await Lrq.Run([.. Lrq.Rounding(dense, "--bits", "4", "--symmetric", "--group-size", "64", "--format", "dense"), "--json"]);
        JsonNode report = JsonNode.Parse(result.Out)!;
        Assert.Equal((16.0, 4.25), ((double)report["bitsPerWeight"]!, (double)report["countedBitsPerWeight"]!));
        Assert.Equal((long)(2 * Weights), (long)report["stored"]!["linearBytes"]!);
    }

    [Fact]
    public async Task AnAdapterOfACorrectionHoldsTheSameValuesInEveryForm()
    {
        string rounded = _folder.File("rtn");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(rounded, "--bits", "2", "--group-size", "64"))).Code);
        JsonNode codes = await Correct(rounded, "codes", "--adapter-form", "lrq"), peft = await Correct(rounded, "peft"), half = await Correct(rounded, "half", "--adapter-dtype", "fp16");
        long counted = Sum(Path.Combine(_folder.File("codes"), BranchFile.FileName)), floats = Sum(Path.Combine(_folder.File("peft"), PeftAdapterWriter.TensorFile));
        Assert.Equal((counted, counted), ((long)codes["adapterBytes"]!, (long)codes["countedAdapterBytes"]!));
        Assert.Equal((floats, counted), ((long)peft["adapterBytes"]!, (long)peft["countedAdapterBytes"]!));
        Assert.Equal((floats / 2, counted), ((long)half["adapterBytes"]!, (long)half["countedAdapterBytes"]!));
        Assert.Contains("factors are rounded to F16", half["warnings"]!.AsArray()[^1]!.ToString(), StringComparison.Ordinal);
        Assert.All(new[] { codes, peft }, report => Assert.DoesNotContain(report["warnings"]!.AsArray(), warning => warning!.ToString().Contains("rounded", StringComparison.Ordinal)));
        double own = (double)codes["baseBitsPerWeight"]!;
        Assert.Equal(own + (8 * counted / Weights), (double)codes["bitsPerWeight"]!, 1e-9);
        Assert.Equal(own + (8 * floats / Weights), (double)peft["bitsPerWeight"]!, 1e-9);
        Assert.Equal((double)codes["bitsPerWeight"]!, (double)peft["countedBitsPerWeight"]!, 1e-12);
        using ICheckpoint first = CheckpointOpener.Open(rounded, _folder.File("codes")), second = CheckpointOpener.Open(rounded, _folder.File("peft"));
        Assert.Equal(Linears, ((AdaptedCheckpoint)first).BranchNames.Count);
        foreach (string name in first.TensorNames) Assert.Equal(Values(first, name), Values(second, name));
        using ICheckpoint file = CheckpointOpener.Open(rounded, Path.Combine(_folder.File("codes"), BranchFile.FileName));
        Assert.Equal(Values(first, "model.layers.3.mlp.down_proj.weight"), Values(file, "model.layers.3.mlp.down_proj.weight"));
        CliResult refused = await Lrq.Run("correct", rounded, "--reference", "demo", "--rank", "1", "--calibration", "self", "--adapter-form", "lrq", "--adapter-dtype", "fp16", "--out", _folder.File("none"));
        Assert.Equal(2, refused.Code);
        Assert.Contains("--adapter-dtype", refused.Error, StringComparison.Ordinal);
    }

    private async Task<JsonNode> Correct(string quantized, string adapter, params string[] more)
    {
        CliResult run = await Lrq.Run(
        [
            "correct", quantized, "--reference", "demo", "--rank", "1", "--calibration", Path.Combine(TestData.Demo, "calibration.txt"), "--samples", "4",
            "--sequence-length", "64", "--threads", "1", "--out", _folder.File(adapter), "--json", .. more,
        ]);
        Assert.True(run.Code == 0, run.Error);
        return JsonNode.Parse(run.Out)!;
    }

    private static async Task<JsonNode> Quantize(string method, string output, string[] more)
    {
        string[] calibrated = method == "rtn" ? [] : ["--samples", "4", "--held-out", "1", "--sequence-length", "32"];
        string[] learned = method is "flexround" or "lrq" or "lrq-hybrid" ? ["--iterations", "2"] : method == "flrq+" ? ["--tune-steps", "0"] : [];
        CliResult run = await Lrq.Run(["quantize", "demo", "--method", method, "--eval-windows", "1", "--threads", "1", "--out", output, "--json", .. calibrated, .. learned, .. more]);
        Assert.True(run.Code == 0, run.Error);
        return JsonNode.Parse(run.Out)!;
    }

    // A run whose branches, of 8 bits, lie on two of its linears.
    private async Task<string> RunWithCodes(int rank)
    {
        string run = _folder.File("run");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, "--bits", "4", "--symmetric", "--group-size", "64", "--scale-dtype", "fp16"))).Code);
        var random = new Random(3);
        AdapterModule[] modules = [.. new[] { ("model.layers.0.self_attn.q_proj", 256), ("model.layers.1.mlp.down_proj", 768) }.Select(linear =>
        {
            (string name, int columns) = linear;
            float[] a = [.. Enumerable.Range(0, rank * columns).Select(_ => (float)(random.NextDouble() - 0.5))], b = [.. Enumerable.Range(0, 256 * rank).Select(_ => (float)(random.NextDouble() - 0.5) / 50)];
            FactorRounding.Rows(a, rank, 8);
            FactorRounding.Columns(b, rank, 8);
            return new AdapterModule(name, 256, columns, rank, () => a, () => b);
        })];
        BranchFileWriter.Write(Path.Combine(run, "adapter"), modules, 8);
        return run;
    }

    /// <summary>Adds up the tensors of a folder's linears and of its adapter, and compares them with bits per weight, of the command that wrote it and of inspect.</summary>
    private static async Task<(long Linears, long Branches)> CheckFolder(string folder, JsonNode bitsPerWeight)
    {
        long linears = 0, branches = 0;
        foreach (string file in Directory.EnumerateFiles(folder, "*.safetensors"))
        {
            using SafetensorsFile tensors = SafetensorsFile.Open(file);
            linears += tensors.Tensors.Values.Where(tensor => tensor.Name.Contains("_proj.", StringComparison.Ordinal) && !tensor.Name.EndsWith(".weight_shape", StringComparison.Ordinal)).Sum(tensor => tensor.ByteLength);
        }
        string adapter = Path.Combine(folder, "adapter");
        if (Directory.Exists(adapter)) branches = Directory.EnumerateFiles(adapter, "*.safetensors").Sum(Sum);
        double bits = 8 * (linears + branches) / Weights;
        Assert.Equal(bits, (double)bitsPerWeight, 1e-12);
        CliResult inspected = await Lrq.Run("inspect", folder, "--json");
        Assert.Equal(bits, (double)JsonNode.Parse(inspected.Out)!["bitsPerWeight"]!, 1e-12);
        return (linears, branches);
    }

    private static long Sum(string file)
    {
        if (file.EndsWith(".gguf", StringComparison.Ordinal))
        {
            using GgufFile gguf = GgufFile.Open(file);
            return gguf.Tensors.Values.Sum(tensor => tensor.ByteLength);
        }
        using SafetensorsFile tensors = SafetensorsFile.Open(file);
        return tensors.Tensors.Values.Sum(tensor => tensor.ByteLength);
    }

    private static float[] Values(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        checkpoint.Read(name, values);
        return values;
    }
}
