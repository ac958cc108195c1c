using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;

namespace LowRankQuant.Models.Export;

/// <summary>
/// A folder that is written beside its place and moved there when it is complete; whatever goes wrong before that removes it.
/// </summary>
internal sealed class StagedFolder : IDisposable
{
    private readonly string _target;
    private bool _done;

    private StagedFolder(string target, string path)
    {
        _target = target;
        Path = path;
    }

    /// <summary>Where files are written.</summary>
    public string Path { get; }

    /// <summary>Makes the folder.</summary>
    /// <param name="output">Where the result goes.</param>
    /// <param name="bytes">Bytes that it will hold.</param>
    /// <exception cref="IOException">The disk has not so much room, the folder cannot be made, or one of that name is there.</exception>
    public static StagedFolder Create(string output, long bytes)
    {
        string target = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(output));
        string parent = System.IO.Path.GetDirectoryName(target) ?? throw new IOException($"{output} is no place for a model.");
        Directory.CreateDirectory(parent);
        DiskSpace.Require(output, bytes);
        string path = AtomicFile.PartialOf(target);
        if (System.IO.Path.Exists(path)) throw new IOException($"{path} is in the way, perhaps from an export that was killed; delete it.");
        Directory.CreateDirectory(path);
        return new StagedFolder(target, path);
    }

    /// <summary>Removes what an export that was killed left in front of its place.</summary>
    /// <param name="output">Where its result was to go.</param>
    public static void RemoveLeftover(string output)
    {
        string path = AtomicFile.PartialOf(System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(output)));
        if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
    }

    /// <summary>
    /// Moves the result to its place. Files of a model that is there are replaced, others stay; config.json goes first and comes last, so that no
    /// mixture of two models can be opened.
    /// </summary>
    public void Commit()
    {
        if (!Directory.Exists(_target) || !Directory.EnumerateFileSystemEntries(_target).Any())
        {
            if (Directory.Exists(_target)) Directory.Delete(_target);
            Directory.Move(Path, _target);
            _done = true;
            return;
        }
        foreach (string old in new[] { ModelConfigFile.Name, ModelConfigFile.QuantizeName }) File.Delete(System.IO.Path.Combine(_target, old));
        foreach (string old in SafetensorsFolderWriter.CheckpointFiles(_target)) File.Delete(old);
        string adapter = System.IO.Path.Combine(_target, CheckpointOpener.AdapterFolder);
        if (Directory.Exists(adapter)) Directory.Delete(adapter, recursive: true);
        foreach (string folder in Directory.EnumerateDirectories(Path)) Directory.Move(folder, System.IO.Path.Combine(_target, System.IO.Path.GetFileName(folder)));
        IEnumerable<string> files = Directory.EnumerateFiles(Path).OrderBy(file => System.IO.Path.GetFileName(file) == ModelConfigFile.Name);
        foreach (string file in files.ToArray()) File.Move(file, System.IO.Path.Combine(_target, System.IO.Path.GetFileName(file)), overwrite: true);
    }

    /// <summary>Removes what was not committed.</summary>
    public void Dispose()
    {
        if (!_done && Directory.Exists(Path)) Directory.Delete(Path, recursive: true);
    }
}
