namespace LowRankQuant.Fuzz;

/// <summary>A folder in memory for readers that open files.</summary>
internal sealed class Scratch : IDisposable
{
    private const string InMemory = "/dev/shm";

    public Scratch()
    {
        Folder = Path.Combine(
            Environment.GetEnvironmentVariable("LRQ_FUZZ_SCRATCH") ?? (Directory.Exists(InMemory) ? InMemory : Path.GetTempPath()), $"lrq-fuzz-{Environment.ProcessId}");
        Directory.CreateDirectory(Folder);
    }

    public string Folder { get; }

    /// <summary>Writes a file over the one before.</summary>
    public string Write(string name, ReadOnlySpan<byte> bytes)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
