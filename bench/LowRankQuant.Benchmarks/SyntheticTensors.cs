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
    private readonly List<(string Name, int[] Shape)> _holes = [];

    /// <summary>Adds a matrix [rows, columns].</summary>
    /// <param name="name">Its name.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bound">Largest magnitude; null for sqrt(3 / columns).</param>
    public void Matrix(string name, int rows, int columns, double? bound = null) => Uniform(name, [rows, columns], bound ?? Math.Sqrt(3.0 / columns));

    /// <summary>Adds a matrix [rows, columns] with the spectrum of a real one.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    public void Spectral(string name, int rows, int columns)
    {
        ulong seed = (ulong)_tensors.Count;
        _tensors.Add(new PendingTensor(name, SafetensorsType.BF16, [rows, columns], sink =>
        {
            var matrix = new SpectralMatrix(seed, columns);
            int together = Math.Max(1, 4 * Part / columns);
            var values = new float[together * columns];
            for (int first = 0; first < rows; first += together)
            {
                int count = Math.Min(together, rows - first), from = first;
                Parallel.For(0, count, row => matrix.Row(from + row, values.AsSpan(row * columns, columns)));
                sink.WriteSingles(values.AsSpan(0, count * columns));
            }
        }));
    }

    /// <summary>Adds a matrix [rows, columns] that is a hole in its file: zeros that take no place on the disk.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    public void Hole(string name, int rows, int columns) => _holes.Add((name, [rows, columns]));

    /// <summary>Adds a tensor of uniform values.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="bound">Largest magnitude.</param>
    public void Uniform(string name, IReadOnlyList<int> shape, double bound)
    {
        ulong seed = (ulong)_tensors.Count;
        _tensors.Add(new PendingTensor(name, SafetensorsType.BF16, Sizes(shape), sink => WriteUniform(sink, seed, Count(shape), bound)));
    }

    /// <summary>Adds a tensor of random bytes.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="least">Least value.</param>
    /// <param name="greatest">Greatest value.</param>
    public void Bytes(string name, IReadOnlyList<int> shape, byte least, byte greatest)
    {
        ulong seed = (ulong)_tensors.Count;
        _tensors.Add(new PendingTensor(name, SafetensorsType.U8, Sizes(shape), sink =>
        {
            var random = new SeededRandom(seed);
            var values = new byte[Part];
            for (long done = 0, count = Count(shape); done < count; done += Part)
            {
                Span<byte> part = values.AsSpan(0, (int)Math.Min(Part, count - done));
                foreach (ref byte value in part) value = (byte)(least + (int)(random.NextUniform() * (greatest - least + 1)));
                sink.Write<byte>(part);
            }
        }));
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
        JsonObject all = JsonNode.Parse(File.ReadAllBytes(Path.Combine(tokenizer, "config.json")))!.AsObject();
        foreach ((string key, JsonNode? value) in config) all[key] = value;
        Write(output, tokenizer, shardBytes, all);
    }

    /// <summary>Writes the checkpoint and says on the console how large it is.</summary>
    /// <param name="output">Its folder.</param>
    /// <param name="tokenizer">Folder of the tokenizer; null for none.</param>
    /// <param name="shardBytes">Largest shard.</param>
    /// <param name="config">All of config.json.</param>
    public void Write(string output, string? tokenizer, long shardBytes, JsonObject config)
    {
        Directory.CreateDirectory(output);
        foreach (string path in TokenizerFiles.Select(file => Path.Combine(tokenizer ?? "", file)).Where(path => tokenizer is not null && File.Exists(path)))
            File.Copy(path, Path.Combine(output, Path.GetFileName(path)), overwrite: true);
        if (_holes.Count == 0) SafetensorsFolderWriter.Write(output, _tensors, shardBytes, overwrite: true);
        else WriteWithHoles(output);
        File.WriteAllText(Path.Combine(output, "config.json"), config.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
        Console.WriteLine($"{{\"parameters\":{_tensors.Sum(Elements)},\"bytes\":{_tensors.Sum(tensor => tensor.ByteLength)}}}");
    }

    // What is there in one file, holes in files of their own: a header, and then nothing up to the file's length.
    private void WriteWithHoles(string output)
    {
        const string filled = "model-filled.safetensors";
        const int together = 32;
        SafetensorsWriter.Write(Path.Combine(output, filled), _tensors, SafetensorsWriter.PyTorchMetadata);
        var map = new JsonObject();
        foreach (PendingTensor tensor in _tensors) map[tensor.Name] = filled;
        int number = 0;
        foreach ((string Name, int[] Shape)[] holes in _holes.Chunk(together))
        {
            string file = $"model-hole-{number++:D5}.safetensors";
            var entries = new JsonObject();
            long bytes = 0;
            foreach ((string name, int[] shape) in holes)
            {
                long end = bytes + (2 * Count(shape));
                entries[name] = new JsonObject { ["dtype"] = "BF16", ["shape"] = new JsonArray([.. shape.Select(size => (JsonNode)size)]), ["data_offsets"] = new JsonArray(bytes, end) };
                map[name] = file;
                bytes = end;
            }
            byte[] header = JsonSerializer.SerializeToUtf8Bytes(entries);
            using FileStream stream = File.Create(Path.Combine(output, file));
            stream.Write(BitConverter.GetBytes((long)header.Length));
            stream.Write(header);
            stream.SetLength(stream.Length + bytes);
        }
        File.WriteAllText(Path.Combine(output, SafetensorsFolder.IndexFileName), new JsonObject { ["metadata"] = new JsonObject(), ["weight_map"] = map }.ToJsonString());
    }

    // Two MXFP4 codes are a byte.
    private static long Elements(PendingTensor tensor) => tensor.Type == SafetensorsType.U8 ? 2 * tensor.ByteLength : tensor.ByteLength / 2;

    private static long[] Sizes(IReadOnlyList<int> shape) => [.. shape.Select(size => (long)size)];

    private static long Count(IReadOnlyList<int> shape) => shape.Aggregate(1L, (product, size) => product * size);

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
