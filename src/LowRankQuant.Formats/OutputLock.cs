namespace LowRankQuant.Formats;

/// <summary>
/// One process at a time writes an output. Who does is said in a file that is made in one step: <c>.lrq/lock</c> within a folder in which a run goes on
/// (<see cref="TakeFolder"/>), <c>PATH.lock</c> beside a file or folder that appears by renaming (<see cref="TakePlace"/>); either looks at both. The file
/// goes with <see cref="Dispose"/>. What a process that was killed left is taken over, where it can be seen that the process is gone: on the same machine.
/// </summary>
public sealed class OutputLock : IDisposable
{
    /// <summary>Folder of working files within the output folder of a run.</summary>
    public const string WorkFolder = ".lrq";

    /// <summary>Name of the file within <see cref="WorkFolder"/>.</summary>
    public const string FileName = "lock";

    private const string Suffix = ".lock";

    // Somebody who holds a file for the moment of writing it is waited for; a file without contents was left by one who died in that moment.
    private const int Attempts = 40, Patient = 20;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(25);

    private readonly string _file;
    private readonly OutputOwner _owner = OutputOwner.ThisProcess();
    private readonly List<string> _made = [];

    private OutputLock(string file) => _file = file;

    /// <summary>What was taken over from a process that is gone, in a sentence; null where nothing was.</summary>
    public string? TakenOver { get; private set; }

    /// <summary>Takes the folder of a run, which is made where it is missing.</summary>
    /// <exception cref="OutputLockedException">Another process writes there, or one on another machine may.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static OutputLock TakeFolder(string folder) => Take(Resolve(folder), within: true);

    /// <summary>Takes the place of a file or folder that appears by renaming.</summary>
    /// <inheritdoc cref="TakeFolder"/>
    public static OutputLock TakePlace(string path) => Take(Resolve(path), within: false);

    /// <summary>Who keeps others from writing an output, as a sentence with the remedy; null where nobody does. Changes nothing.</summary>
    /// <param name="output">A file or folder.</param>
    public static string? Conflict(string output)
    {
        string path = Resolve(output);
        return Conflict(path, Within(path)) ?? Conflict(path, Beside(path));
    }

    /// <summary>Lets others write.</summary>
    public void Dispose()
    {
        if (OutputOwner.TryRead(_file)?.Id == _owner.Id) File.Delete(_file);
        // What was only made for the file goes with it.
        foreach (string folder in Enumerable.Reverse(_made))
        {
            try
            {
                if (Directory.Exists(folder) && !Directory.EnumerateFileSystemEntries(folder).Any()) Directory.Delete(folder);
            }
            catch (IOException)
            {
                // Somebody writes into it in this moment.
            }
        }
    }

    private static OutputLock Take(string output, bool within)
    {
        string own = within ? Within(output) : Beside(output), other = within ? Beside(output) : Within(output);
        var taken = new OutputLock(own);
        try
        {
            taken.Make(output, Path.GetDirectoryName(own)!);
            taken.Acquire(output);
        }
        catch (Exception failure) when (failure is UnauthorizedAccessException or IOException)
        {
            taken.Dispose();
            throw new IOException($"{output} cannot be written: {failure.Message.TrimEnd('.')}; choose another `out`.", failure);
        }
        catch
        {
            taken.Dispose();
            throw;
        }
        // Both files are looked at once the own one is there: of two who do so at once, at most one goes on.
        if (Conflict(output, other) is not { } problem) return taken;
        taken.Dispose();
        throw new OutputLockedException(problem);
    }

    private void Make(string output, string folder)
    {
        if (File.Exists(output) && folder.StartsWith(output, StringComparison.Ordinal)) throw new IOException("it is a file, and a folder is asked for");
        for (string? missing = folder; missing is not null && !Directory.Exists(missing); missing = Path.GetDirectoryName(missing)) _made.Insert(0, missing);
    }

    private void Acquire(string output)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            if (attempt > 0) Thread.Sleep(Pause);
            Directory.CreateDirectory(Path.GetDirectoryName(_file)!);
            try
            {
                if (TryCreate())
                {
                    TakenOver = null;
                    return;
                }
                if (TryTakeOver(output, attempt >= Patient)) return;
            }
            catch (Exception failure) when (failure is FileNotFoundException or DirectoryNotFoundException)
            {
                // Given back in this moment.
            }
            catch (IOException) when (File.Exists(_file))
            {
                // Held by somebody who writes it in this moment.
            }
        }
        throw new OutputLockedException($"{output} is being taken by another process; start again when that one is done, or choose another `out`.");
    }

    private bool TryCreate()
    {
        try
        {
            using var stream = new FileStream(_file, FileMode.CreateNew, FileAccess.Write, FileShare.None);
            _owner.Write(stream);
            return true;
        }
        catch (IOException) when (File.Exists(_file))
        {
            return false;
        }
    }

    // Written over and not replaced: whoever else wants it waits for the same file, and finds a living owner.
    private bool TryTakeOver(string output, bool evenEmpty)
    {
        using (var stream = new FileStream(_file, FileMode.Open, FileAccess.ReadWrite, FileShare.None))
        {
            OutputOwner? other = OutputOwner.TryRead(stream);
            // Written by an attempt before, while somebody else looked at the file and it could not be read again.
            if (other?.Id == _owner.Id) return true;
            if (other is null && !evenEmpty) return false;
            if (other?.Problem(output, _file) is { } problem) throw new OutputLockedException(problem);
            stream.SetLength(0);
            _owner.Write(stream);
            TakenOver = other is null ? $"{_file} names nobody and was taken over." : $"{output} was held by {other.Describe()}, which is gone; going on in its place.";
        }
        // The file that was written may have been given back between opening and reading it.
        return OutputOwner.TryRead(_file)?.Id == _owner.Id;
    }

    private static string? Conflict(string output, string file) => OutputOwner.TryRead(file)?.Problem(output, file);

    private static string Within(string folder) => Path.Combine(folder, WorkFolder, FileName);

    private static string Beside(string path) => path + Suffix;

    // Links above the last name are followed by the system itself.
    private static string Resolve(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        FileSystemInfo entry = Directory.Exists(full) ? new DirectoryInfo(full) : new FileInfo(full);
        FileSystemInfo? target = entry.LinkTarget is null ? null : entry.ResolveLinkTarget(returnFinalTarget: true);
        return target is null ? full : Path.TrimEndingDirectorySeparator(target.FullName);
    }
}

/// <summary>An output that another process writes, or may write. The message names the process, its machine, since when, and what to do.</summary>
public sealed class OutputLockedException : Exception
{
    /// <summary>Creates the exception.</summary>
    public OutputLockedException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public OutputLockedException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public OutputLockedException()
    {
    }
}
