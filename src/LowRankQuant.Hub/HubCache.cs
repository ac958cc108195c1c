using LowRankQuant.Formats;

namespace LowRankQuant.Hub;

/// <summary>
/// The cache of Hugging Face's tools, shared with them:
/// <code>
/// models--ORG--NAME/ (datasets--ORG--NAME/)
///   blobs/ETAG                  a file by its sha256 or git's sha1; ETAG.incomplete while it is fetched
///   refs/REVISION               the commit, 40 letters, no line end
///   snapshots/COMMIT/PATH       relative link to the blob; a copy where links are not possible
///   .no_exist/COMMIT/PATH       empty: known to be absent
/// .locks/models--ORG--NAME/ETAG.lock
/// </code>
/// Source: huggingface_hub's guide "Understand caching", and what its version 2.4.0 leaves behind.
/// </summary>
/// <param name="root">The folder; it is made where it is missing.</param>
/// <param name="name">The repository whose part of the cache this is.</param>
internal sealed class HubCache(string root, HubName name)
{
    private const string TagFile = "CACHEDIR.TAG";

    // Backup programs leave out folders with this file (https://bford.info/cachedir/).
    private const string Tag =
        "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by huggingface_hub.\n" +
        "# For information about cache directory tags, see:\n#\thttps://bford.info/cachedir/\n";

    private readonly string _name = $"{(name.IsDataset ? "datasets" : "models")}--{name.Repository.Replace("/", "--", StringComparison.Ordinal)}";

    /// <summary>Makes a link; some systems and disks have none.</summary>
    public Action<string, string> Link { get; init; } = (made, target) => System.IO.File.CreateSymbolicLink(made, target);

    /// <summary>The repository's folder.</summary>
    public string Folder => Path.Combine(root, _name);

    /// <summary>Where a file's content is, by its hash.</summary>
    public string Blob(string etag) => Path.Combine(Folder, "blobs", etag);

    /// <summary>Where it is until it is complete.</summary>
    public string Incomplete(string etag) => Blob(etag) + ".incomplete";

    /// <summary>The file by which processes keep apart who fetch the same content.</summary>
    public string Lock(string etag) => Path.Combine(root, ".locks", _name, etag + ".lock");

    /// <summary>A commit's folder.</summary>
    public string Snapshot(string commit) => Path.Combine(Folder, "snapshots", commit);

    /// <summary>A file of a commit.</summary>
    public string File(string commit, string path) => HubPath.Under(Snapshot(commit), path);

    /// <summary>Whether the cache has a blob of that size.</summary>
    public bool Has(string etag, long size) => new FileInfo(Blob(etag)) is { Exists: true } blob && blob.Length == size;

    /// <summary>The commit that a revision was when it was last asked for; null where it never was.</summary>
    public string? Commit(string revision)
    {
        if (HubName.Commit().IsMatch(revision)) return revision;
        string file = Ref(revision);
        if (new FileInfo(file) is not { Exists: true, Length: < 100 }) return null;
        string text = System.IO.File.ReadAllText(file).Trim();
        return HubName.Commit().IsMatch(text) ? text : null;
    }

    /// <summary>Notes which commit a revision is.</summary>
    public void SetCommit(string revision, string commit)
    {
        if (revision == commit || Commit(revision) == commit) return;
        Put(Ref(revision), made => System.IO.File.WriteAllText(made, commit));
    }

    /// <summary>Notes that a commit has no such file.</summary>
    public void SetAbsent(string commit, string path)
    {
        string file = Absent(commit, path);
        if (!System.IO.File.Exists(file)) Put(file, made => System.IO.File.WriteAllText(made, ""));
    }

    /// <summary>Whether a commit is known to have no such file.</summary>
    public bool IsAbsent(string commit, string path) => System.IO.File.Exists(Absent(commit, path));

    /// <summary>Names of a commit's files that the cache has.</summary>
    public IReadOnlyList<string> Files(string commit)
    {
        string folder = Snapshot(commit);
        if (!Directory.Exists(folder)) return [];
        // A link whose blob was deleted is no file.
        return [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Where(System.IO.File.Exists)
            .Select(file => Path.GetRelativePath(folder, file).Replace(Path.DirectorySeparatorChar, '/')).Order(StringComparer.Ordinal)];
    }

    /// <summary>Puts a blob into a commit's folder.</summary>
    /// <exception cref="IOException">Neither a link nor a copy can be made.</exception>
    public void Place(string commit, string path, string etag)
    {
        string file = File(commit, path), blob = Blob(etag), folder = Path.GetDirectoryName(file)!;
        string target = Path.GetRelativePath(folder, blob);
        if (new FileInfo(file).LinkTarget is { } there ? there == target : System.IO.File.Exists(file) && FileLength.Of(file) == FileLength.Of(blob)) return;
        Put(file, made =>
        {
            try
            {
                Link(made, target);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or PlatformNotSupportedException)
            {
                System.IO.File.Copy(blob, made);
            }
        });
    }

    /// <summary>Makes the folders.</summary>
    public void Prepare()
    {
        Directory.CreateDirectory(Path.Combine(Folder, "blobs"));
        string tag = Path.Combine(root, TagFile);
        if (!System.IO.File.Exists(tag)) Put(tag, made => System.IO.File.WriteAllText(made, Tag));
    }

    // Made beside its place, under a name that no other process takes, and renamed: somebody may be reading what stands there, or writing the same.
    private static void Put(string file, Action<string> make)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        string made = $"{file}.{Guid.NewGuid():N}";
        try
        {
            make(made);
            System.IO.File.Move(made, file, overwrite: true);
        }
        catch
        {
            System.IO.File.Delete(made);
            throw;
        }
    }

    private string Ref(string revision) => HubPath.Under(Path.Combine(Folder, "refs"), revision);

    private string Absent(string commit, string path) => HubPath.Under(Path.Combine(Folder, ".no_exist", commit), path);
}
