using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// The tensors of a random checkpoint in bf16, generated part by part while they are written: matrices uniform within sqrt(3 / inputs), which keeps the variance of what
/// passes through them, and norms of ones. A tensor's seed is its number.
/// </summary>
internal sealed class SyntheticTensors
{
    private const int Part = 1 << 18;

    private static readonly string[] TokenizerFiles = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"];
    private readonly List<PendingTensor> _tensors = [];

    /// <summary>Adds a matrix [rows, columns].</summary>
    /// <param name="name">Its name.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bound">Largest magnitude; null for sqrt(3 / columns).</param>
    public void Matrix(string name, int rows, int columns, double? bound = null)
    {
        ulong seed = (ulong)_tensors.Count;
        double limit = bound ?? Math.Sqrt(3.0 / columns);
        _tensors.Add(new PendingTensor(name, SafetensorsType.BF16, [rows, columns], sink => WriteUniform(sink, seed, (long)rows * columns, limit)));
    }

    /// <summary>Adds a vector of ones.</summary>
    public void Ones(string name, int size) => _tensors.Add(new PendingTensor(name, SafetensorsType.BF16, [size], sink =>
    {
        var values = new float[size];
        Array.Fill(values, 1f);
        sink.WriteSingles(values);
    }));

    /// <summary>Writes the checkpoint and says on the console how large it is.</summary>
    /// <param name="output">Its folder.</param>
    /// <param name="tokenizer">Folder of the tokenizer, whose config.json is changed for the result.</param>
    /// <param name="shardBytes">Largest shard.</param>
    /// <param name="config">Keys of config.json beside or in place of those of the tokenizer's model.</param>
    public void Write(string output, string tokenizer, long shardBytes, IReadOnlyDictionary<string, JsonNode?> config)
    {
        Directory.CreateDirectory(output);
        foreach (string file in TokenizerFiles) File.Copy(Path.Combine(tokenizer, file), Path.Combine(output, file), overwrite: true);
        SafetensorsFolderWriter.Write(output, _tensors, shardBytes, overwrite: true);
        JsonObject all = JsonNode.Parse(File.ReadAllBytes(Path.Combine(tokenizer, "config.json")))!.AsObject();
        foreach ((string key, JsonNode? value) in config) all[key] = value;
        File.WriteAllText(Path.Combine(output, "config.json"), all.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
        Console.WriteLine($"{{\"parameters\":{_tensors.Sum(tensor => tensor.ByteLength / 2)},\"bytes\":{_tensors.Sum(tensor => tensor.ByteLength)}}}");
    }

    private static void WriteUniform(TensorSink sink, ulong seed, long count, double bound)
    {
        var random = new SeededRandom(seed);
        var values = new float[Part];
        for (long done = 0; done < count; done += Part)
        {
            Span<float> part = values.AsSpan(0, (int)Math.Min(Part, count - done));
            foreach (ref float value in part) value = (float)(((2 * random.NextUniform()) - 1) * bound);
            sink.WriteSingles(part);
        }
    }
}
