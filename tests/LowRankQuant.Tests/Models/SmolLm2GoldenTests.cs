using System.Security.Cryptography;
using System.Text.Json;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Quantization;

namespace LowRankQuant.Tests.Models;

/// <summary>Real checkpoints against the reference: SmolLM2-135M as in the GGUF file and as 'convert' writes it, and tinystories-656k.</summary>
public sealed class SmolLm2GoldenTests
{
    private const double LogProbabilityTolerance = 3e-4, MeanTolerance = 1e-5, RelativeTolerance = 2e-5;

    private static string Gguf => TestData.Path("models", "smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf");

    [Fact]
    public void TheGgufFileGivesTheReferenceFigures()
    {
        using var device = new CpuDevice();
        using var model = new CausalModel(GgufCheckpoint.Open(Gguf), device);
        Check(model, "gguf");
    }

    [Fact]
    public async Task TheConvertedFolderIsTheReferenceInTensorsAndFigures()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("bf16");
        CliResult converted = await Lrq.Run("convert", Gguf, "--out", output, "--dtype", "bf16");
        Assert.Equal((0, ""), (converted.Code, converted.Error));
        using (SafetensorsFolder tensors = SafetensorsFolder.Open(output)) CheckHashes(tensors);
        using var device = new CpuDevice();
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(output), device);
        Check(model, "bf16");
        int[] ids = model.Checkpoint.LoadTokenizer().Encode(Text("prose"), addSpecialTokens: false);
        using SafetensorsFile golden = Golden();
        Assert.Equal(GoldenBlockTests.Read<long>(golden, "prose.ids"), ids.Select(id => (long)id));
    }

    [Fact]
    public void TinyStoriesGivesTheReferenceFigures()
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "models", "tinystories-656k.safetensors"));
        using JsonDocument facts = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "models", "tinystories-656k.json")));
        using var device = new CpuDevice();
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k")), device);
        int[] ids = model.Checkpoint.LoadTokenizer().Encode(facts.RootElement.GetProperty("text").GetString()!, addSpecialTokens: true);
        Assert.Equal(facts.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()), ids);
        ForwardTrace trace = ForwardTrace.Of(model, ids);
        CheckLogProbabilities(golden, "logprob", trace, ids);
        Assert.Equal(facts.RootElement.GetProperty("mean_nll").GetDouble(), -trace.LogProbabilities(ids).Average(), MeanTolerance);
        CheckLastLogits(golden, "logits_last4", trace, ids);
        float[] hidden = GoldenBlockTests.Read<float>(golden, "hidden");
        int size = hidden.Length / trace.Hidden.Count;
        for (int i = 0; i < trace.Hidden.Count; i++)
            Assert.InRange(ForwardTrace.RelativeError(hidden.AsSpan(i * size, size), trace.Hidden[i]), 0, RelativeTolerance);
    }

    private static SafetensorsFile Golden() => SafetensorsFile.Open(TestData.Path("golden", "models", "smollm2.safetensors"));

    private static string Text(string name)
    {
        using JsonDocument facts = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "models", "smollm2.json")));
        return facts.RootElement.GetProperty("texts").GetProperty(name).GetProperty("text").GetString()!;
    }

    private static void Check(CausalModel model, string set)
    {
        using SafetensorsFile golden = Golden();
        foreach (string text in new[] { "prose", "code" })
        {
            int[] ids = [.. GoldenBlockTests.Read<long>(golden, $"{text}.ids").Select(id => (int)id)];
            string key = $"{set}.{text}";
            ForwardTrace trace = ForwardTrace.Of(model, ids);
            CheckLogProbabilities(golden, $"{key}.logprob", trace, ids);
            CheckLastLogits(golden, $"{key}.logits_last4", trace, ids);
            double[] sizes = GoldenBlockTests.Read<double>(golden, $"{key}.hidden_rms");
            float[] last = GoldenBlockTests.Read<float>(golden, $"{key}.hidden_last");
            int width = model.Config.HiddenSize;
            Assert.Equal(sizes.Length, trace.Hidden.Count);
            for (int i = 0; i < sizes.Length; i++)
            {
                double rms = Math.Sqrt(trace.Hidden[i].Average(value => (double)value * value));
                Assert.Equal(sizes[i], rms, RelativeTolerance * sizes[i]);
                double error = ForwardTrace.RelativeError(last.AsSpan(i * width, width), trace.Hidden[i].AsSpan((ids.Length - 1) * width));
                Assert.True(error <= RelativeTolerance, $"{key}, hidden state {i} of the last token: {error}");
            }
        }
    }

    private static void CheckLogProbabilities(SafetensorsFile golden, string name, ForwardTrace trace, int[] ids)
    {
        double[] expected = GoldenBlockTests.Read<double>(golden, name), actual = trace.LogProbabilities(ids);
        Assert.Equal(expected.Length, actual.Length);
        for (int t = 0; t < expected.Length; t++) Assert.Equal(expected[t], actual[t], LogProbabilityTolerance);
        Assert.Equal(expected.Average(), actual.Average(), MeanTolerance);
    }

    private static void CheckLastLogits(SafetensorsFile golden, string name, ForwardTrace trace, int[] ids)
    {
        float[] expected = GoldenBlockTests.Read<float>(golden, name);
        int vocabulary = trace.Logits.Length / ids.Length;
        double error = ForwardTrace.RelativeError(expected, trace.Logits.AsSpan((ids.Length - 4) * vocabulary));
        Assert.True(error <= RelativeTolerance, $"{name}: {error}");
    }

    private static void CheckHashes(SafetensorsFolder tensors)
    {
        using JsonDocument hashes = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "models", "smollm2-bf16-sha256.json")));
        IEnumerable<string> names = hashes.RootElement.EnumerateObject().Some().Select(tensor => tensor.Name);
        Assert.Equal(names.Order(StringComparer.Ordinal), tensors.Names.Order(StringComparer.Ordinal));
        foreach (JsonProperty tensor in hashes.RootElement.EnumerateObject().Some())
        {
            TensorEntry stored = tensors.Tensors[tensor.Name];
            Assert.Equal(SafetensorsType.BF16, stored.Type);
            Assert.Equal(tensor.Value.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64()), stored.Shape);
            string hash = Convert.ToHexStringLower(SHA256.HashData(tensors.GetBytes(tensor.Name, 0, checked((int)(2 * stored.ElementCount)))));
            Assert.Equal(tensor.Value.GetProperty("sha256").GetString(), hash);
        }
    }
}
