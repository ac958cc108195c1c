using System.Text.Json;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>
/// A Hugging Face folder: <c>model.safetensors</c>, or shards listed by <c>model.safetensors.index.json</c>. Index and shards must agree exactly:
/// every listed tensor is in its shard, every tensor of a listed shard is in the index, and no shard path leaves the folder.
/// </summary>
public sealed class SafetensorsFolder : ISafetensorsSource
{
    /// <summary>Name of an unsharded checkpoint.</summary>
    public const string SingleFileName = "model.safetensors";

    /// <summary>Name of the index of a sharded checkpoint.</summary>
    public const string IndexFileName = "model.safetensors.index.json";

    // The largest public indices have some 100,000 tensors and 10 MB.
    private const long MaxIndexLength = SafetensorsHeader.MaxLength;

    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, SafetensorsFile> _owners = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];

    private SafetensorsFolder(string folder) => Location = folder;

    /// <inheritdoc/>
    public string Location { get; }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    /// <inheritdoc/>
    public IReadOnlyList<string> Names => _names;

    /// <summary>The opened files, in the order of their names.</summary>
    public IReadOnlyList<SafetensorsFile> Files => _files;

    /// <summary>Opens a folder; a single <c>model.safetensors</c> is preferred over an index, as the common loaders do.</summary>
    /// <param name="folder">Path of the folder.</param>
    /// <exception cref="CheckpointFormatException">Neither file exists, or one of them breaks a rule.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static SafetensorsFolder Open(string folder)
    {
        SafetensorsFolder result = new(folder);
        try
        {
            string single = Path.Combine(folder, SingleFileName), index = Path.Combine(folder, IndexFileName);
            if (File.Exists(single)) result.Add(SafetensorsFile.Open(single));
            else if (File.Exists(index)) result.OpenShards(index);
            else throw new CheckpointFormatException("missing-checkpoint", folder, null,
                $"the folder has neither {SingleFileName} nor {IndexFileName}.");
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    /// <summary>Path of the file that holds a tensor.</summary>
    /// <exception cref="CheckpointFormatException">No such tensor.</exception>
    public string FileOf(string name) => Owner(name).Location;

    /// <inheritdoc/>
    public bool Contains(string name) => _owners.ContainsKey(name);

    /// <inheritdoc/>
    public IReadOnlyList<long> ShapeOf(string name) => Owner(name).ShapeOf(name);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> GetBytes(string name, long byteOffset, int length) => Owner(name).GetBytes(name, byteOffset, length);

    /// <inheritdoc/>
    public void Read<T>(string name, Span<T> destination, long elementOffset = 0)
        where T : unmanaged => Owner(name).Read(name, destination, elementOffset);

    /// <inheritdoc/>
    public void ReadSingles(string name, Span<float> destination, long elementOffset = 0) =>
        Owner(name).ReadSingles(name, destination, elementOffset);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SafetensorsFile file in _files) file.Dispose();
    }

    private SafetensorsFile Owner(string name) => _owners.TryGetValue(name, out SafetensorsFile? file)
        ? file
        : throw new CheckpointFormatException("missing-tensor", Location, name, "the checkpoint has no such tensor.");

    private void Add(SafetensorsFile file)
    {
        _files.Add(file);
        foreach (string name in file.Names)
        {
            if (!_owners.TryAdd(name, file))
                throw new CheckpointFormatException("duplicate-name", file.Location, name, "another shard holds this tensor too.");
            _tensors.Add(name, file.Tensors[name]);
            _names.Add(name);
        }
    }

    private void OpenShards(string indexPath)
    {
        Dictionary<string, string> map = ReadWeightMap(indexPath);
        SortedDictionary<string, List<string>> byShard = new(StringComparer.Ordinal);
        foreach ((string tensor, string shard) in map)
        {
            CheckShardPath(indexPath, tensor, shard);
            if (!byShard.TryGetValue(shard, out List<string>? tensors)) byShard.Add(shard, tensors = []);
            tensors.Add(tensor);
        }
        if (byShard.Count == 0)
        {
            bool shards = Directory.EnumerateFiles(Location, "*.safetensors").Any();
            throw new CheckpointFormatException(
                shards ? "unlisted-tensor" : "index-schema", indexPath, "weight_map", "lists no tensor; the folder's shards would be ignored.");
        }
        foreach ((string shard, List<string> tensors) in byShard)
        {
            string path = Path.Combine(Location, shard);
            if (!File.Exists(path))
                throw new CheckpointFormatException("missing-shard", indexPath, shard, "the index names this file, the folder lacks it.");
            SafetensorsFile file = SafetensorsFile.Open(path);
            foreach (string tensor in tensors)
            {
                if (file.Contains(tensor)) continue;
                file.Dispose();
                throw new CheckpointFormatException("missing-tensor", path, tensor, $"the index places the tensor in {shard}, which lacks it.");
            }
            foreach (string name in file.Names)
            {
                if (map.TryGetValue(name, out string? listed) && listed == shard) continue;
                file.Dispose();
                throw new CheckpointFormatException("unlisted-tensor", path, name, "the index does not list this tensor for this shard.");
            }
            Add(file);
        }
    }

    private static Dictionary<string, string> ReadWeightMap(string path)
    {
        CheckpointFormatException Schema(string? key, string message, Exception? inner = null) => new("index-schema", path, key, message, inner);
        long length = new FileInfo(path).Length;
        if (length > MaxIndexLength) throw Schema(null, $"an index of {length} bytes; at most {MaxIndexLength} are read.");
        Dictionary<string, string>? map = null;
        try
        {
            Utf8JsonReader reader = new(File.ReadAllBytes(path));
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) throw Schema(null, "the index is not a JSON object.");
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                bool isMap = reader.ValueTextEquals("weight_map"u8);
                reader.Read();
                if (!isMap)
                {
                    reader.Skip();
                    continue;
                }
                if (map is not null) throw Schema("weight_map", "the key occurs twice.");
                if (reader.TokenType != JsonTokenType.StartObject) throw Schema("weight_map", "must be an object from tensor to file.");
                map = new Dictionary<string, string>(StringComparer.Ordinal);
                while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                {
                    string tensor = reader.GetString()!;
                    reader.Read();
                    if (reader.TokenType != JsonTokenType.String) throw Schema(tensor, "the file of a tensor must be a string.");
                    if (!map.TryAdd(tensor, reader.GetString()!))
                        throw new CheckpointFormatException("duplicate-name", path, tensor, "listed twice.");
                }
            }
            while (reader.Read())
            {
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw Schema(null, $"the index is not a JSON object: {e.Message}", e);
        }
        return map ?? throw Schema("weight_map", "the key is missing.");
    }

    // Both separators are refused on every system: a folder must mean the same wherever it is copied.
    private static void CheckShardPath(string indexPath, string tensor, string shard)
    {
        bool bad = shard.Length is 0 or > 255 || Path.IsPathRooted(shard) || shard is "." or ".."
            || shard.AsSpan().ContainsAny('/', '\\', ':') || shard.AsSpan().ContainsAnyInRange('\0', '\x1f');
        if (bad) throw new CheckpointFormatException("path", indexPath, tensor, $"shard '{shard}' must be a plain file name in the same folder.");
    }
}
