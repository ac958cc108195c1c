using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>
/// Writes a checkpoint as <c>model.safetensors</c>, or, when it exceeds the shard size, as <c>model-0000k-of-0000n.safetensors</c> and
/// <c>model.safetensors.index.json</c>. The index is written last, so an interrupted run leaves no folder that looks complete.
/// </summary>
public static class SafetensorsFolderWriter
{
    /// <summary>The shard size of the common libraries.</summary>
    public const long DefaultShardSize = 5_000_000_000;

    /// <summary>Writes all tensors in the given order.</summary>
    /// <param name="folder">Destination folder; created when missing.</param>
    /// <param name="tensors">Tensors in file order; a shard holds consecutive ones.</param>
    /// <param name="shardSize">Largest number of data bytes in a shard; a tensor that is larger gets a shard of its own.</param>
    /// <param name="metadata">Strings of <c>__metadata__</c> of each file; null writes <see cref="SafetensorsWriter.PyTorchMetadata"/>.</param>
    /// <param name="overwrite">Whether checkpoint files already in the folder are replaced and stale ones removed; otherwise they are an
    /// error.</param>
    /// <param name="cancellationToken">Checked before every tensor.</param>
    /// <returns>Paths of the files written, the index last.</returns>
    /// <exception cref="IOException">The folder already holds a checkpoint, or cannot be written.</exception>
    /// <exception cref="ArgumentException">Duplicate names, or a shard size that is not positive.</exception>
    public static IReadOnlyList<string> Write(
        string folder,
        IReadOnlyList<PendingTensor> tensors,
        long shardSize = DefaultShardSize,
        IReadOnlyDictionary<string, string>? metadata = null,
        bool overwrite = false,
        CancellationToken cancellationToken = default)
    {
        if (shardSize <= 0) throw new ArgumentOutOfRangeException(nameof(shardSize), shardSize, "The shard size must be positive.");
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach (PendingTensor tensor in tensors)
        {
            if (!names.Add(tensor.Name)) throw new ArgumentException($"The tensor name '{tensor.Name}' is given twice.", nameof(tensors));
        }
        Directory.CreateDirectory(folder);
        IReadOnlyList<string> old = CheckpointFiles(folder);
        if (old.Count > 0 && !overwrite)
            throw new IOException($"{folder} already holds a checkpoint ({Path.GetFileName(old[0])}); choose another folder or allow overwriting.");

        List<List<PendingTensor>> shards = Divide(tensors, shardSize);
        // An index or single file of an older checkpoint must not point into the new shards, not even after an interruption.
        foreach (string name in new[] { SafetensorsFolder.IndexFileName, SafetensorsFolder.SingleFileName }) File.Delete(Path.Combine(folder, name));

        List<string> written = [];
        for (int i = 0; i < shards.Count; i++)
        {
            string path = Path.Combine(folder, ShardName(i, shards.Count));
            SafetensorsWriter.Write(path, shards[i], metadata, cancellationToken);
            written.Add(path);
        }
        foreach (string path in old)
        {
            if (!written.Contains(path)) File.Delete(path);
        }
        if (shards.Count > 1) written.Add(WriteIndex(folder, shards));
        return written;
    }

    /// <summary>Bytes of the tensor files that <see cref="Write"/> makes of these tensors, without the index.</summary>
    public static long FileBytes(IReadOnlyList<PendingTensor> tensors, long shardSize) => Divide(tensors, shardSize).Sum(shard => SafetensorsWriter.FileBytes(shard));

    private static string ShardName(int index, int count) => count == 1
        ? SafetensorsFolder.SingleFileName
        : string.Create(CultureInfo.InvariantCulture, $"model-{index + 1:D5}-of-{count:D5}.safetensors");

    private static List<List<PendingTensor>> Divide(IReadOnlyList<PendingTensor> tensors, long shardSize)
    {
        List<List<PendingTensor>> shards = [[]];
        long size = 0;
        foreach (PendingTensor tensor in tensors)
        {
            long bytes = tensor.ByteLength;
            if (size > 0 && bytes > shardSize - size)
            {
                shards.Add([]);
                size = 0;
            }
            shards[^1].Add(tensor);
            size = checked(size + bytes);
        }
        return shards;
    }

    /// <summary>Tensor files and index of a checkpoint that is in a folder.</summary>
    public static IReadOnlyList<string> CheckpointFiles(string folder)
    {
        List<string> files = [];
        foreach (string path in Directory.EnumerateFiles(folder, "model*.safetensors*"))
        {
            string name = Path.GetFileName(path);
            bool shard = name.StartsWith("model-", StringComparison.Ordinal) && name.EndsWith(".safetensors", StringComparison.Ordinal);
            if (shard || name is SafetensorsFolder.SingleFileName or SafetensorsFolder.IndexFileName) files.Add(path);
        }
        return files;
    }

    private static string WriteIndex(string folder, List<List<PendingTensor>> shards)
    {
        string path = Path.Combine(folder, SafetensorsFolder.IndexFileName);
        SortedDictionary<string, string> map = new(StringComparer.Ordinal);
        long total = 0;
        for (int i = 0; i < shards.Count; i++)
        {
            foreach (PendingTensor tensor in shards[i])
            {
                map.Add(tensor.Name, ShardName(i, shards.Count));
                total = checked(total + tensor.ByteLength);
            }
        }
        AtomicFile.Write(path, stream =>
        {
            using Utf8JsonWriter json = new(stream,
                new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", total);
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            foreach ((string name, string file) in map) json.WriteString(name, file);
            json.WriteEndObject();
            json.WriteEndObject();
            json.Flush();
        });
        return path;
    }
}
