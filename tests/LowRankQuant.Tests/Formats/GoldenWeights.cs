using System.Text.Json;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests.Formats;

/// <summary>What the folders of golden/gptq, awq and autoround have in common: codes, zero points, scales and values of three linears, and whole files.</summary>
internal static class GoldenWeights
{
    public static IEnumerable<string> Modules { get; } =
        [.. new[] { "self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj" }.Select(name => "model.layers.0." + name)];

    /// <summary>Every quantized linear of a folder, by the tensor that only they have.</summary>
    public static IEnumerable<string> Quantized(ISafetensorsSource model, string suffix) =>
        model.Names.Where(name => name.EndsWith(suffix, StringComparison.Ordinal)).Select(name => name[..^suffix.Length]);

    public static JsonElement Config(params string[] folder)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(TestData.Path(["golden", .. folder]), "config.json")));
        return document.RootElement.GetProperty("quantization_config").Clone();
    }

    public static byte[] Bytes(ISafetensorsSource golden, string name)
    {
        var values = new byte[golden.Tensors[name].ElementCount];
        golden.Read(name, values.AsSpan());
        return values;
    }

    public static int[] Integers(ISafetensorsSource golden, string name)
    {
        var values = new int[golden.Tensors[name].ElementCount];
        golden.Read(name, values.AsSpan());
        return values;
    }

    public static float[] Floats(ISafetensorsSource golden, string name)
    {
        var values = new float[golden.Tensors[name].ElementCount];
        golden.ReadSingles(name, values);
        return values;
    }

    /// <summary>The bytes of a tensor as a writer gives them.</summary>
    public static byte[] Written(PendingTensor tensor)
    {
        using TemporaryFolder folder = new();
        SafetensorsWriter.Write(folder.File("one"), [tensor]);
        using SafetensorsFile file = SafetensorsFile.Open(folder.File("one"));
        return file.GetBytes(tensor.Name, 0, (int)tensor.ByteLength).ToArray();
    }

    /// <summary>Writes a folder's file again, some of its tensors by us and the others copied, in its own order; compares every byte.</summary>
    public static void AssertSameFile(SafetensorsFolder model, IReadOnlyList<PendingTensor> ours)
    {
        Dictionary<string, PendingTensor> written = ours.ToDictionary(tensor => tensor.Name);
        Assert.All(written.Keys, name => Assert.True(model.Contains(name), name));
        using TemporaryFolder folder = new();
        PendingTensor[] tensors = [.. model.Names.Select(name => written.TryGetValue(name, out PendingTensor? own) ? own : PendingTensor.Copy(model, name))];
        SafetensorsWriter.Write(folder.File("again"), tensors, model.Files[0].Metadata);
        Assert.Equal(File.ReadAllBytes(model.Files[0].Location), File.ReadAllBytes(folder.File("again")));
    }
}
