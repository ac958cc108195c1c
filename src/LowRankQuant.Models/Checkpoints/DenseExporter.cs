using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Writes any checkpoint as a Hugging Face folder of plain floats: tensors, config.json, tokenizer.</summary>
public static class DenseExporter
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes the folder. Tensors go through memory one at a time; config.json is written last, so that half a folder cannot be opened.</summary>
    /// <param name="source">What to convert.</param>
    /// <param name="folder">Destination folder; created when missing.</param>
    /// <param name="type">F32, F16 or BF16.</param>
    /// <param name="shardSize">Largest file of tensors, bytes.</param>
    /// <param name="overwrite">Whether a checkpoint already in the folder is replaced.</param>
    /// <param name="progress">Told how many tensors are written.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="CheckpointException">A tensor is unsound, or does not fit the range of fp16.</exception>
    /// <exception cref="IOException">The folder holds a checkpoint, cannot be written, or the disk is too small.</exception>
    public static void Write(
        ICheckpoint source, string folder, SafetensorsType type, long shardSize, bool overwrite, Action<int, int>? progress, CancellationToken cancellation)
    {
        string target = Path.GetFullPath(folder);
        if (Directory.Exists(source.Location) && target == Path.GetFullPath(source.Location).TrimEnd(Path.DirectorySeparatorChar))
            throw new IOException($"{folder} is the source itself; name another folder.");
        int done = 0, total = source.TensorNames.Count;
        List<PendingTensor> tensors = PendingTensor.ReferenceOrder(source.TensorNames.Select(name => new PendingTensor(
            name, type, [.. source.ShapeOf(name).Select(size => (long)size)], sink =>
            {
                sink.WriteSingles(Read(source, name, type));
                progress?.Invoke(++done, total);
            })));
        CheckDisk(target, tensors.Sum(tensor => tensor.ByteLength));
        string config = Path.Combine(folder, "config.json");
        if (overwrite) File.Delete(config);
        SafetensorsFolderWriter.Write(folder, tensors, shardSize, overwrite: overwrite, cancellationToken: cancellation);
        source.CopySideFiles(folder);
        File.WriteAllText(config, Config(source, type).ToJsonString(Indented) + "\n");
    }

    private static float[] Read(ICheckpoint source, string name, SafetensorsType type)
    {
        const float largestHalf = 65504;
        var values = new float[source.ShapeOf(name).Aggregate(1L, (product, size) => checked(product * size))];
        source.Read(name, values);
        foreach (float value in values)
        {
            if (!float.IsFinite(value)) throw new CheckpointException($"{source.Location}: tensor '{name}' holds {value}; every value must be finite.");
            if (type == SafetensorsType.F16 && Math.Abs(value) > largestHalf)
                throw new CheckpointException($"{source.Location}: tensor '{name}' holds {value}, beyond the range of fp16 (65504); choose bf16 or fp32.");
        }
        return values;
    }

    private static JsonObject Config(ICheckpoint source, SafetensorsType type)
    {
        var config = (JsonObject)source.HuggingFaceConfig.DeepClone();
        string name = type switch { SafetensorsType.F16 => "float16", SafetensorsType.BF16 => "bfloat16", _ => "float32" };
        // transformers 5 calls it dtype; whichever is there is what its readers look at.
        if (config.ContainsKey("dtype")) config["dtype"] = name;
        if (!config.ContainsKey("dtype") || config.ContainsKey("torch_dtype")) config["torch_dtype"] = name;
        config.Remove("quantization_config");
        return config;
    }

    private static void CheckDisk(string folder, long needed)
    {
        string? there = folder;
        while (there is not null && !Directory.Exists(there)) there = Path.GetDirectoryName(there);
        if (there is null) return;
        long free = new DriveInfo(there).AvailableFreeSpace;
        if (free < needed) throw new IOException($"{folder} needs {needed} bytes; the disk has {free} free.");
    }
}
