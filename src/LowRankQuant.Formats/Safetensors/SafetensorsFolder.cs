namespace LowRankQuant.Formats.Safetensors;

/// <summary>
/// A Hugging Face folder: <c>model.safetensors</c>, or shards listed by <c>model.safetensors.index.json</c>, see <see cref="SafetensorsFileSet"/>. Index and
/// shards must agree exactly: every listed tensor is in its shard, every tensor of a listed shard is in the index, and no shard path leaves the folder.
/// </summary>
public sealed class SafetensorsFolder : ISafetensorsSource
{
    /// <summary>Name of an unsharded checkpoint.</summary>
    public const string SingleFileName = "model.safetensors";

    /// <summary>Name of the index of a sharded checkpoint.</summary>
    public const string IndexFileName = "model.safetensors.index.json";

    private readonly MappedPages _pages = new();
    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, (SafetensorsFile File, string Stored)> _owners = new(StringComparer.Ordinal);
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

    /// <summary>Opens a folder.</summary>
    /// <param name="folder">Path of the folder.</param>
    /// <param name="rename">From a stored name to the one by which the tensor is known from now on; null keeps all.</param>
    /// <exception cref="CheckpointFormatException">There is no checkpoint, a file breaks a rule, or two tensors get one name (<c>duplicate-name</c>).</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static SafetensorsFolder Open(string folder, Func<string, string>? rename = null)
    {
        SafetensorsFolder result = new(folder);
        rename ??= name => name;
        try
        {
            SafetensorsFileSet set = SafetensorsFileSet.Find(folder);
            if (set.Index is { } index) result.OpenShards(index, rename);
            foreach (string file in set.Files) result.Add(SafetensorsFile.Open(file, result._pages), rename);
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
    public string FileOf(string name) => Owner(name).File.Location;

    /// <summary>The name by which its file has a tensor.</summary>
    /// <exception cref="CheckpointFormatException">No such tensor.</exception>
    public string StoredNameOf(string name) => Owner(name).Stored;

    /// <summary>Asks the system to have the bytes of all tensors whose names begin so at hand soon, and returns at once.</summary>
    public void ReadAhead(string prefix)
    {
        foreach ((_, (SafetensorsFile file, string stored)) in _owners.Where(owner => owner.Key.StartsWith(prefix, StringComparison.Ordinal))) file.ReadAhead(stored);
    }

    /// <summary>Gives pages that were read back to the system.</summary>
    public void ReleasePages() => _pages.Release();

    /// <inheritdoc/>
    public bool Contains(string name) => _owners.ContainsKey(name);

    /// <inheritdoc/>
    public IReadOnlyList<long> ShapeOf(string name)
    {
        (SafetensorsFile file, string stored) = Owner(name);
        return file.ShapeOf(stored);
    }

    /// <inheritdoc/>
    public ReadOnlySpan<byte> GetBytes(string name, long byteOffset, int length)
    {
        (SafetensorsFile file, string stored) = Owner(name);
        return file.GetBytes(stored, byteOffset, length);
    }

    /// <inheritdoc/>
    public void Read<T>(string name, Span<T> destination, long elementOffset = 0)
        where T : unmanaged
    {
        (SafetensorsFile file, string stored) = Owner(name);
        file.Read(stored, destination, elementOffset);
    }

    /// <inheritdoc/>
    public void ReadSingles(string name, Span<float> destination, long elementOffset = 0)
    {
        (SafetensorsFile file, string stored) = Owner(name);
        file.ReadSingles(stored, destination, elementOffset);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SafetensorsFile file in _files) file.Dispose();
    }

    private (SafetensorsFile File, string Stored) Owner(string name) => _owners.TryGetValue(name, out (SafetensorsFile, string) owner)
        ? owner
        : throw new CheckpointFormatException("missing-tensor", Location, name, "the checkpoint has no such tensor.");

    private void Add(SafetensorsFile file, Func<string, string> rename)
    {
        _files.Add(file);
        foreach (string stored in file.Names)
        {
            string name = rename(stored);
            if (!_owners.TryAdd(name, (file, stored)))
            {
                string other = _owners[name].Stored;
                string why = other == stored ? "another shard holds this tensor too." : $"'{other}' means the same tensor, '{name}'; remove one of them.";
                throw new CheckpointFormatException("duplicate-name", file.Location, stored, why);
            }
            _tensors.Add(name, file.Tensors[stored] with { Name = name });
            _names.Add(name);
        }
    }

    private void OpenShards(string indexPath, Func<string, string> rename)
    {
        Dictionary<string, string> map = SafetensorsIndex.Read(indexPath);
        SortedDictionary<string, List<string>> byShard = new(StringComparer.Ordinal);
        foreach ((string tensor, string shard) in map)
        {
            if (!byShard.TryGetValue(shard, out List<string>? tensors)) byShard.Add(shard, tensors = []);
            tensors.Add(tensor);
        }
        if (byShard.Count == 0)
        {
            bool shards = Directory.EnumerateFiles(Location, "*.safetensors").Any();
            throw new CheckpointFormatException(
                shards ? "unlisted-tensor" : "index-schema", indexPath, "weight_map", "lists no tensor; the folder's shards would be ignored.");
        }
        string[] missing = [.. byShard.Keys.Where(shard => !File.Exists(Path.Combine(Location, shard)))];
        if (missing.Length > 0)
        {
            throw new CheckpointFormatException(
                "missing-shard", indexPath, missing[0],
                $"the index names this file, the folder lacks it ({missing.Length} of {byShard.Count} files are missing); download the model again.");
        }
        foreach ((string shard, List<string> tensors) in byShard)
        {
            string path = Path.Combine(Location, shard);
            SafetensorsFile file = SafetensorsFile.Open(path, _pages);
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
            Add(file, rename);
        }
    }
}
