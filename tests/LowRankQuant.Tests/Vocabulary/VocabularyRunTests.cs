using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Vocabulary;

/// <summary>Runs that quantize embedding and head, by every method, of models with one matrix and with two.</summary>
public sealed class VocabularyRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string[]> Methods => new()
    {
        { "rtn", [] },
        { "lrq", ["--iterations", "2"] },
        { "lrq-hybrid", ["--iterations", "1"] },
        { "flexround", ["--iterations", "1"] },
        { "flrq", [] },
        { "flrq+", ["--tune-steps", "1"] },
        { "qera-exact", ["--rank", "4"] },
        { "gptq", [] },
        { "awq", ["--n-grid", "3"] },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Methods))]
    public async Task MatricesOfTheirOwnAreStoredReadBackAndCounted(string method, string[] options)
    {
        RunReport report = await Run("llama_mha", method, [.. options, "--embedding", "8", "--head", "4"]);
        Assert.Equal(["model.embed_tokens", "lm_head"], report.Vocabulary.Select(matrix => matrix.Module));
        Assert.Equal((8, 4), (Grid(report, 0).Bits, Grid(report, 1).Bits));
        Assert.False(report.Vocabulary[0].OnOutputs);
        Head(method, report.Vocabulary[1]);
        Counted(report);
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public async Task OneMatrixIsStoredOnceAndFittedAsAHead(string method, string[] options)
    {
        RunReport report = await Run("llama_tied", method, [.. options, "--head", "4"]);
        Head(method, Assert.Single(report.Vocabulary));
        Assert.Equal(("model.embed_tokens", "embedding and head (one matrix)"), (report.Vocabulary[0].Module, report.Vocabulary[0].Name));
        Counted(report);
        Assert.True(Config(report)["tie_word_embeddings"]!.GetValue<bool>());
        using ICheckpoint result = CheckpointOpener.Open(report.Output);
        Assert.False(result.Contains("lm_head.weight"));
        Assert.Equal(4, result.ReadQuantized("model.embed_tokens.weight")!.Grid.Bits);
    }

    [Fact]
    public async Task BlocksLearnWithTheEmbeddingAsStored()
    {
        // The first block's output in full precision from rounded tokens is not that from the tokens as they were.
        RunReport off = await Run("llama_mha", "flrq", []), on = await Run("llama_mha", "flrq", ["--embedding", "4"]);
        Assert.True(on.Blocks[0].HeldOutLoss > off.Blocks[0].HeldOutLoss, $"{on.Blocks[0].HeldOutLoss} after {off.Blocks[0].HeldOutLoss}");
        Assert.Equal(off.Stored!.LinearBytes, on.Stored!.LinearBytes);
        Assert.True(on.ResultBytes < off.ResultBytes);
        // Round to nearest beside the result has its embedding rounded too.
        Assert.True(on.RtnBytes < off.RtnBytes);
        Assert.NotEqual(off.Rtn!.KlDivergence, on.Rtn!.KlDivergence);
    }

    [Theory]
    [InlineData("llama_mha")]
    [InlineData("llama_tied")]
    public async Task TuningSeesThemAsTheyAreStored(string model)
    {
        RunReport report = await Run(model, "rtn", ["--embedding", "4", .. model == "llama_mha" ? ["--head", "4"] : Array.Empty<string>(), "--tune-steps", "2"]);
        // Both are the divergence from the original on the held-out windows: of the model that was tuned, and of the files.
        Assert.Equal(report.Tuning!.After, report.Result!.KlDivergence!.Value, 1e-5 * report.Tuning.After);
    }

    [Theory]
    [InlineData("lrq")]
    [InlineData("flrq+")]
    public async Task TwoThreadsGiveTheBytesOfOne(string method)
    {
        string[] options = [.. method == "lrq" ? ["--iterations", "2"] : Array.Empty<string>(), "--embedding", "4", "--head", "4"];
        RunReport one = await Run("llama_mha", method, options), two = await Run("llama_mha", method, [.. options, "--threads", "2"]);
        Assert.Equal(one.OutputHash, two.OutputHash);
        RunReport other = await Run("llama_mha", method, [.. options[..^1], "8"]);
        Assert.NotEqual(one.OutputHash, other.OutputHash);
    }

    [Theory]
    [InlineData("llama_mha", "flrq")]
    [InlineData("llama_tied", "flrq")]
    [InlineData("llama_mha", "rtn")]
    public async Task ARunThatStoppedBehindItsBlocksGoesOnAtTheHead(string model, string method)
    {
        string output = _folder.File("stopped"), path = TestData.Path("golden", "models", model);
        string[] options = ["--method", method, "--bits", "4", "--group-size", "16", "--head", "8", "--threads", "1", "--out", output, .. VocabularyLab.Ids(_folder, 160)];
        CliResult blocks = await Lrq.Run(["quantize", path, .. options, "--blocks", "2"]);
        Assert.True(blocks.Code == 0, blocks.Error);
        Assert.DoesNotContain("relative error of", blocks.Out, StringComparison.Ordinal);
        // Another head is another run.
        CliResult other = await Lrq.Run(["quantize", path, .. options.Select(option => option == "8" ? "4" : option)]);
        Assert.Equal(2, other.Code);
        Assert.Contains("holds another run (other options)", other.Error, StringComparison.Ordinal);
        CliResult rest = await Lrq.Run(["quantize", path, .. options]);
        Assert.True(rest.Code == 0, rest.Error);
        Assert.Contains("2 of 2 blocks are finished; going on from there.", rest.Out, StringComparison.Ordinal);
        RunReport whole = await Run(model, method, ["--head", "8"]);
        Assert.Equal(Lrq.Hashes(whole.Output, IsTensors), Lrq.Hashes(output, IsTensors));
    }

    [Fact]
    public async Task ThePlanCountsThem()
    {
        string path = TestData.Path("golden", "models", "llama_mha");
        string[] options = [path, "--method", "rtn", "--bits", "4", "--group-size", "16", "--embedding", "8", "--head", "4"];
        CliResult planned = await Lrq.Run(["plan", .. options, "--untimed", "--json"]);
        PlanReport plan = System.Text.Json.JsonSerializer.Deserialize(planned.Out, RunJson.Default.PlanReport)!;
        Assert.Equal([("model.embed_tokens", 9.5), ("lm_head", 5.25)], plan.Vocabulary.Select(matrix => (matrix.Name, matrix.BitsPerWeight)));
        RunReport report = await VocabularyLab.Quantize(path, _folder.File("planned"), options[1..]);
        // All but headers and the two integers that repeat a shape.
        Assert.Equal(plan.ResultBytes, report.Stored!.FileBytes - report.Stored.OverheadBytes);
    }

    [Fact]
    public async Task PlainFloatsHoldTheRoundedValues()
    {
        string model = TestData.Path("golden", "models", "llama_mha");
        RunReport codes = await VocabularyLab.Round(model, _folder.File("codes"), "--group-size", "16", "--head", "4");
        RunReport floats = await VocabularyLab.Round(model, _folder.File("floats"), "--group-size", "16", "--head", "4", "--format", "dense");
        using ICheckpoint quantized = CheckpointOpener.Open(codes.Output), dense = CheckpointOpener.Open(floats.Output);
        Assert.Null(dense.ReadQuantized("lm_head.weight"));
        float[] expected = [.. Values(quantized, "lm_head.weight").Select(value => (float)(Half)value)];
        Assert.Equal(expected, Values(dense, "lm_head.weight"));
    }

    private static bool IsTensors(string name) => name == "model.safetensors" || name == "config.json" || name == "recipe.json" || name.StartsWith("adapter", StringComparison.Ordinal);

    private async Task<RunReport> Run(string model, string method, string[] options)
    {
        string path = TestData.Path("golden", "models", model);
        return await VocabularyLab.Quantize(
            path, _folder.File(Guid.NewGuid().ToString("N")), ["--method", method, "--bits", "4", "--group-size", "16", .. VocabularyLab.Ids(_folder, 160), .. options]);
    }

    private static void Head(string method, VocabularyReport head)
    {
        Assert.Equal(method != "rtn", head.OnOutputs);
        // What is rounded to nearest has scales as stored, which the error before has not.
        Assert.InRange(head.ErrorAfter, double.Epsilon, 1.005 * head.ErrorBefore);
        // Methods that compensate errors gain on the inputs they look at.
        if (method is "lrq" or "lrq-hybrid" or "flexround" or "flrq+") Assert.True(head.ErrorAfter < 0.9 * head.ErrorBefore, head.Describe());
    }

    // What the files hold is what the report says, matrix by matrix and in all.
    private static void Counted(RunReport report)
    {
        using ICheckpoint result = CheckpointOpener.Open(report.Output);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        long embedding = 0;
        foreach (VocabularyReport matrix in report.Vocabulary.Some())
        {
            string name = matrix.Module + ".weight";
            QuantizedWeight weight = result.ReadQuantized(name)!;
            Assert.Equal((matrix.Grid, matrix.Rows, matrix.Columns), (weight.Grid.ToString(), weight.OutFeatures, weight.InFeatures));
            Assert.Equal(weight.StoredBits, result.StoredBitsOf(name));
            Assert.Equal(matrix.BitsPerWeight, weight.BitsPerWeight);
            var values = new float[weight.Codes.Length];
            weight.Dequantize(values);
            Assert.Equal(values, Values(result, name));
            embedding += weight.StoredBits / 8;
        }
        StoredParts stored = report.Stored!;
        Assert.Equal(embedding, stored.EmbeddingBytes);
        Assert.Equal(stored.FileBytes, stored.LinearBytes + stored.BranchBytes + stored.EmbeddingBytes + stored.OtherBytes + stored.OverheadBytes);
        Assert.Equal(report.ResultBitsPerParameter, report.Result!.ModelBitsPerWeight);
        Assert.Contains(report.Vocabulary[0].Describe(), File.ReadAllText(Path.Combine(report.Output, "report.md")), StringComparison.Ordinal);
        JsonNode recipe = JsonNode.Parse(File.ReadAllText(Path.Combine(report.Output, "recipe.json")))!;
        Assert.Equal(4, (int)recipe["head"]!);
    }

    private static JsonNode Config(RunReport report) => JsonNode.Parse(File.ReadAllText(Path.Combine(report.Output, "config.json")))!;

    private static WeightGrid Grid(RunReport report, int matrix)
    {
        using ICheckpoint result = CheckpointOpener.Open(report.Output);
        return result.ReadQuantized(report.Vocabulary[matrix].Module + ".weight")!.Grid;
    }

    private static float[] Values(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size)];
        checkpoint.Read(name, values);
        return values;
    }
}
