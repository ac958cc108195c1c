using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Families;

/// <summary>Methods on every family: a few steps, the result read back, measured, and written in other containers.</summary>
public abstract class EveryFamilyTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>Every second case, so that two classes run side by side.</summary>
    protected static TheoryData<string> Half(int first) => [.. FamilyModels.Cases.Where((_, i) => i % 2 == first)];

    protected async Task QuantizeByEveryMethod(string name)
    {
        string source = _folder.File("source"), ids = _folder.File("ids.jsonl");
        FamilyModels.Write(name, source);
        File.WriteAllLines(ids, Enumerable.Range(0, 8).Select(row => $"[{string.Join(", ", Enumerable.Range(0, 24).Select(i => ((row * 131) + (i * i * 7)) % FamilyModels.Vocabulary))}]"));
        string[] calibrated = ["--calibration", ids, "--calibration-format", "ids", "--samples", "4", "--held-out", "2", "--sequence-length", "24"];
        string[] everywhere =
        [
            "rtn --bits 4 --symmetric true --group-size 32",
            "lrq --bits 3 --iterations 2 --rank 8 --tune-steps 1 --tune-batch 1",
            "flexround --bits 4 --symmetric true --group-size 32 --iterations 2",
        ];
        string[] others =
        [
            "flrq --bits 3 --group-size 64",
            "flrq+ --bits 3 --group-size 64 --rank 8 --tune-steps 1 --tune-batch 1",
            "qera-exact --bits 3 --group-size 64 --rank 4",
            "gptq --bits 3 --group-size 64 --gptaq 0.25",
            "awq --bits 4 --group-size 64 --n-grid 3",
            "autoround --bits 4 --symmetric true --group-size 32 --iterations 2",
            "lrq+ --bits 3 --iterations 2 --loss fisher --zero-points true --tune-steps 1 --tune-batch 1 --tune-code-rate 0.05",
        ];
        int number = Array.IndexOf(FamilyModels.Cases, name);
        foreach (string options in everywhere.Concat(others.Where((_, i) => FamilyModels.EveryPair || number % others.Length == i)))
        {
            string method = options.Split(' ')[0], output = _folder.File(method);
            CliResult run = await Lrq.Run(["quantize", source, "--method", .. options.Split(' '), .. calibrated, "--threads", "1", "--out", output]);
            Assert.True(run.Code == 0, $"{name}, {method}: {run.Error}");
            Check(source, output, method);
        }
        // On one grid, what the report says that rounding to nearest takes is what it takes.
        Assert.Equal(Bytes(_folder.File("rtn")), (long)JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.File("flexround"), "report.json")))!["rtnBytes"]!);
        await Exports(source, name);
    }

    public void Dispose()
    {
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private static void Check(string source, string output, string method)
    {
        using ICheckpoint original = CheckpointOpener.Open(source), result = CheckpointOpener.Open(output);
        Assert.Equal(original.Layout.Modules, result.Layout.Modules);
        foreach ((string module, int outFeatures, int inFeatures) in result.Layout.Modules)
        {
            QuantizedWeight weight = result.ReadQuantized($"{module}.weight") ?? throw new InvalidOperationException($"{method}: {module} is not quantized.");
            float[] values = new float[outFeatures * inFeatures], expected = new float[values.Length];
            weight.Reconstruct(values);
            original.Read($"{module}.weight", expected);
            // Its weights are scaled; what it makes of a model is measured below.
            if (method == "awq") continue;
            double difference = 0, norm = 0;
            for (int i = 0; i < values.Length; i++)
            {
                difference += Math.Pow(values[i] - expected[i], 2);
                norm += Math.Pow(expected[i], 2);
            }
            Assert.True(difference < 0.2 * norm, $"{method}: {module} is {Math.Sqrt(difference / norm)} off");
        }
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!;
        double perplexity = (double)report["result"]!["perplexity"]!;
        Assert.True(double.IsFinite(perplexity) && perplexity > 1, $"{method}: perplexity {perplexity}");
    }

    private async Task Exports(string source, string name)
    {
        foreach (string container in new[] { "compressed-tensors", "gptq", "mlx", "dense" })
        {
            string output = _folder.File($"to-{container}");
            CliResult run = await Lrq.Run("export", _folder.File("rtn"), "--to", container, "--out", output);
            Assert.True(run.Code == 0, $"{name}, {container}: {run.Error}");
            // Codes, scales and every other tensor, as the container's engines read them.
            CliResult verified = await Lrq.Run("verify", output, "--against", _folder.File("rtn"));
            Assert.True(verified.Code == 0, $"{name}, {container}: {verified.Out}{verified.Error}");
        }
        Assert.Equal(Stored(source), Stored(_folder.File("to-dense")));
    }

    private static long Bytes(string folder) => Directory.GetFiles(folder, "*.safetensors").Sum(file => new FileInfo(file).Length);

    private static IEnumerable<string> Stored(string folder)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "model.safetensors"));
        return [.. file.Names.Order(StringComparer.Ordinal).Select(name => $"{name} [{string.Join(", ", file.ShapeOf(name))}]")];
    }
}

/// <summary>The first, third and so on.</summary>
public sealed class EveryFamilyOddTests : EveryFamilyTests
{
    public static TheoryData<string> Cases => Half(0);

    [Theory]
    [MemberData(nameof(Cases))]
    public Task EveryMethodQuantizesEveryFamily(string name) => QuantizeByEveryMethod(name);
}

/// <summary>The second, fourth and so on.</summary>
public sealed class EveryFamilyEvenTests : EveryFamilyTests
{
    public static TheoryData<string> Cases => Half(1);

    [Theory]
    [MemberData(nameof(Cases))]
    public Task EveryMethodQuantizesEveryFamily(string name) => QuantizeByEveryMethod(name);
}
