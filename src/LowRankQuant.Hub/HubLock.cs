namespace LowRankQuant.Hub;

/// <summary>
/// One process at a time fetches a content. A lock is an open file that nobody else may open: on Unix the runtime takes it by <c>flock</c>, which Python's
/// filelock takes too, so that both wait for each other; the system gives it back when a process ends, however it ends. The file itself stays and says nothing.
/// </summary>
internal static class HubLock
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>Waits for a lock.</summary>
    /// <param name="file">The lock's file.</param>
    /// <param name="waiting">Called once where somebody else has it.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>Held until it is disposed of.</returns>
    /// <exception cref="IOException">The file cannot be made.</exception>
    public static async Task<IDisposable> TakeAsync(string file, Action waiting, CancellationToken cancellation)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        bool told = false;
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
            }
            catch (IOException failure) when (IsTaken(failure))
            {
                if (!told) waiting();
                told = true;
            }
            await Task.Delay(Pause, cancellation).ConfigureAwait(false);
        }
    }

    // Sharing violation: of Windows, and EWOULDBLOCK of Linux and of macOS as the runtime reports them.
    private static bool IsTaken(IOException failure) => failure.HResult is unchecked((int)0x80070020) or 11 or 35;
}
