using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Containers;

/// <summary>Folders that other libraries wrote, opened as models: the logits of their dense float32 twins.</summary>
public class ContainerModelTests
{
    public static TheoryData<string, string> Executable
    {
        get
        {
            var cases = new TheoryData<string, string>();
            string[] gptq = ["w4-g32-sym-v1", "w4-g32-sym-v2", "w4-g32-asym-v1", "w4-g32-asym-desc_act-v2", "w4-row-sym-desc_act-v1", "w2-g32-asym-v2", "w3-g64-asym-v1", "w8-row-sym-v1"];
            string[] autoRound = ["w4-g32-sym", "w2-g32-sym", "w3-g32-sym", "w2-g32-asym", "w4-g32-asym", "w4-row-sym-gptq"];
            string[] compressed = ["w4-g32-asym", "w3-channel-sym", "w8-g32-asym", "legacy-w3-g32-asym-padded", "legacy-w4-g32-sym-gidx", "legacy-w4-g32-asym-gidx"];
            string[] quantizing =
            [
                "w8a8-channel-token-asym", "w8a8-channel-static-sym", "w8a8-channel-static-asym", "w8a8-tensor-static-sym", "w4-g32-sym-kv8", "w4-g32-sym-kv8-head-asym", "w8-naive",
            ];
            foreach (string name in gptq) cases.Add("gptq", name);
            foreach (string name in autoRound) cases.Add("autoround", name);
            foreach (string name in new[] { "w4-g32", "w4-g64" }) cases.Add("awq", name);
            foreach (string name in compressed.Concat(quantizing)) cases.Add("compressed-tensors", name);
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Executable))]
    public void LogitsAreThoseOfTheDenseTwin(string container, string name)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", container, name + ".golden.safetensors"));
        using SafetensorsFile inputs = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", "base_logits.safetensors"));
        var ids = new long[inputs.Tensors["input_ids"].ElementCount];
        inputs.Read("input_ids", ids.AsSpan());
        float[] expected = new float[golden.Tensors["logits_f32"].ElementCount];
        golden.ReadSingles("logits_f32", expected);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = ModelSource.Open(TestData.Path("golden", container, name), device, use: ModelUse.Forward);
        int length = (int)inputs.ShapeOf("input_ids")[1], size = length * model.Config.VocabularySize;
        for (int i = 0; i < ids.Length / length; i++)
        {
            float[] actual = ForwardTrace.Of(model, [.. ids.AsSpan(i * length, length).ToArray().Select(id => (int)id)]).Logits;
            Assert.InRange(ForwardTrace.RelativeError(expected.AsSpan(i * size, size), actual), 0, 1e-4);
        }
    }

    [Fact]
    public async Task AMethodThatIsNotKnownIsRefusedByName()
    {
        using var folder = new TemporaryFolder();
        CopyFolder(TestData.Path("golden", "gptq", "w4-g32-sym-v1"), folder.Path);
        string config = folder.File("config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"quant_method\": \"gptq\"", "\"quant_method\": \"hqq\"", StringComparison.Ordinal));
        CliResult result = await Lrq.Run("inspect", folder.Path);
        Assert.Equal(1, result.Code);
        Assert.Contains("'hqq' is not supported; supported are auto-round, awq, compressed-tensors, fbgemm_fp8, fp8, gptq, lrq-affine, lrq-two-level and MLX", result.Error, StringComparison.Ordinal);
    }

    internal static void CopyFolder(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.GetFiles(from)) File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
    }
}
