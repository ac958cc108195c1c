using Microsoft.Win32.SafeHandles;

namespace LowRankQuant.Formats;

/// <summary>
/// How long a file is. <see cref="FileInfo"/> says of a link how long its target's name is; the files of the Hugging Face cache are links, and no check of a
/// size may be passed by one.
/// </summary>
public static class FileLength
{
    /// <summary>Bytes of the file that a path leads to.</summary>
    /// <exception cref="IOException">There is none, or it cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static long Of(string path)
    {
        using SafeFileHandle file = File.OpenHandle(path, share: FileShare.ReadWrite | FileShare.Delete);
        return RandomAccess.GetLength(file);
    }
}
