using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Families;

/// <summary>Branches of families that store several linears as one: a PEFT folder has the stored linear, as the family's library does.</summary>
public sealed class FusedBranchTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("models/phi3")]
    [InlineData("models/gpt2")]
    [InlineData("models/bloom")]
    [InlineData("models/falcon_40b")]
    public async Task AnExportedAdapterBelongsToTheStoredLinears(string name)
    {
        string run = await Quantized(name), apart = _folder.File("apart"), merged = _folder.File("merged");
        await Succeeds("export", run, "--to", "dense", "--dtype", "fp32", "--adapter", "peft", "--out", apart);
        await Succeeds("export", run, "--to", "dense", "--dtype", "fp32", "--out", merged);
        await Succeeds("verify", Path.Combine(apart, "adapter"), "--against", run);
        using SafetensorsFile weights = Model(apart), sums = Model(merged), factors = SafetensorsFile.Open(Path.Combine(apart, "adapter", "adapter_model.safetensors"));
        string[] modules = [.. factors.Names.Where(tensor => tensor.EndsWith(".lora_A.weight", StringComparison.Ordinal)).Select(tensor => tensor["base_model.model.".Length..^".lora_A.weight".Length])];
        Assert.NotEmpty(modules);
        foreach (string module in modules) Sums(weights, sums, factors, module, transposed: name == "models/gpt2");
    }

    [Theory]
    [InlineData("pattern")]
    [InlineData("padded")]
    public async Task ARunWritesTheSameBranchesInEveryForm(string form)
    {
        string own = await Quantized("models/phi3"), peft = await Quantized("models/phi3", "--adapter-form", form);
        using ICheckpoint expected = CheckpointOpener.Open(own), actual = CheckpointOpener.Open(peft);
        Assert.Contains(Path.Combine(peft, "adapter"), Directory.GetDirectories(peft));
        Assert.Contains("\"model.layers.0.self_attn.qkv_proj\"", await File.ReadAllTextAsync(Path.Combine(peft, "adapter", "adapter_config.json"), TestContext.Current.CancellationToken), StringComparison.Ordinal);
        foreach ((string module, int outFeatures, int inFeatures) in expected.Layout.Modules)
        {
            float[] left = new float[outFeatures * inFeatures], right = new float[outFeatures * inFeatures];
            expected.Read($"{module}.weight", left);
            actual.Read($"{module}.weight", right);
            Assert.Equal(left, right);
        }
        await Succeeds("verify", Path.Combine(peft, "adapter"), "--against", own);
        ILowRankAdapter adapter = ((AdaptedCheckpoint)actual).Adapter;
        using SafetensorsFile factors = SafetensorsFile.Open(adapter.TensorPath);
        Assert.Equal(8 * factors.Tensors.Values.Sum(tensor => tensor.ByteLength), adapter.Modules.Sum(adapter.StoredBitsOf));
    }

    [Fact]
    public async Task AnAdapterOfAnotherShapeIsRefusedByName()
    {
        string peft = await Quantized("models/phi3", "--adapter-form", "pattern"), file = Path.Combine(peft, "adapter", "adapter_model.safetensors");
        using (SafetensorsFile factors = SafetensorsFile.Open(file))
        {
            PendingTensor[] tensors = [.. factors.Names.Select(tensor =>
            {
                long[] shape = [.. factors.ShapeOf(tensor).Select(size => (long)size)];
                float[] values = new float[shape[0] * shape[1]];
                factors.ReadSingles(tensor, values);
                if (!tensor.EndsWith("qkv_proj.lora_B.weight", StringComparison.Ordinal)) return PendingTensor.FromSingles(tensor, SafetensorsType.F32, shape, values);
                return PendingTensor.FromSingles(tensor, SafetensorsType.F32, [shape[0] - 1, shape[1]], values[..(int)((shape[0] - 1) * shape[1])]);
            })];
            SafetensorsWriter.Write(file + ".new", PendingTensor.ReferenceOrder(tensors), cancellationToken: TestContext.Current.CancellationToken);
        }
        File.Move(file + ".new", file, overwrite: true);
        CheckpointException refused = Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(peft));
        Assert.Contains("qkv_proj", refused.Message, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private static SafetensorsFile Model(string folder) => SafetensorsFile.Open(Path.Combine(folder, "model.safetensors"));

    // Stored weight and factors by themselves: W + B A is what is stored where the branches are in the weights.
    private static void Sums(SafetensorsFile weights, SafetensorsFile sums, SafetensorsFile factors, string module, bool transposed)
    {
        string name = $"base_model.model.{module}";
        float[] w = All(weights, $"{module}.weight"), sum = All(sums, $"{module}.weight"), a = All(factors, $"{name}.lora_A.weight"), b = All(factors, $"{name}.lora_B.weight");
        int rank = (int)factors.ShapeOf($"{name}.lora_A.weight")[0], columns = a.Length / rank, rows = b.Length / rank;
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++)
            {
                double product = 0;
                for (int t = 0; t < rank; t++) product += (double)b[(i * rank) + t] * a[(t * columns) + j];
                int element = transposed ? (j * rows) + i : (i * columns) + j;
                Assert.True(Math.Abs(w[element] + product - sum[element]) < 1e-5, $"{module} [{i}, {j}]: {w[element]} + {product}, {sum[element]} stored");
            }
        }
    }

    private static float[] All(SafetensorsFile file, string tensor)
    {
        var values = new float[file.ShapeOf(tensor).Aggregate(1L, (product, size) => product * size)];
        file.ReadSingles(tensor, values);
        return values;
    }

    private async Task<string> Quantized(string name, params string[] options)
    {
        string source = _folder.File("source"), output = _folder.File($"run{string.Concat(options)}");
        string ids = _folder.File("ids.jsonl");
        FamilyModels.Write(name, source);
        File.WriteAllLines(ids, Enumerable.Range(0, 6).Select(row => $"[{string.Join(", ", Enumerable.Range(0, 24).Select(i => ((row * 131) + (i * i * 7)) % FamilyModels.Vocabulary))}]"));
        await Succeeds(
            ["quantize", source, "--method", "qera-exact", "--bits", "3", "--group-size", "64", "--rank", "4", "--calibration", ids, "--calibration-format", "ids",
                "--samples", "4", "--held-out", "0", "--sequence-length", "24", "--threads", "1", "--out", output, .. options]);
        return output;
    }

    private static async Task Succeeds(params string[] arguments)
    {
        CliResult run = await Lrq.Run(arguments);
        Assert.True(run.Code == 0, $"{string.Join(' ', arguments)}: {run.Out}{run.Error}");
    }
}
