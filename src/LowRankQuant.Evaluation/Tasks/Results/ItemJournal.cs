using System.Text;
using LowRankQuant.Formats;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>
/// Keeps item records on disk as they come, so that an interrupted evaluation goes on where it stopped. While it runs they stand in a file beside the
/// result, behind a line with the fingerprint of what was asked; the end gives the result its name.
/// </summary>
internal sealed class ItemJournal : IDisposable
{
    private readonly string _path;
    private readonly List<ItemRecord> _records;
    private readonly StreamWriter _writer;
    private readonly OutputLock _held;

    private ItemJournal(string path, List<ItemRecord> records, StreamWriter writer, OutputLock held) =>
        (_path, _records, _writer, _held) = (path, records, writer, held);

    /// <summary>Records that an earlier session and this one made, in order.</summary>
    public IReadOnlyList<ItemRecord> Records => _records;

    private string Journal => JournalOf(_path);

    /// <summary>Begins a file of items, or goes on with one.</summary>
    /// <param name="path">The result's file.</param>
    /// <param name="fingerprint">Hash of model, data and request.</param>
    /// <exception cref="RunFolderException">The file exists, or what was begun belongs to another request.</exception>
    /// <exception cref="OutputLockedException">Another evaluation writes it.</exception>
    public static ItemJournal Open(string path, string fingerprint)
    {
        OutputLock held = OutputLock.TakePlace(path);
        try
        {
            return Open(path, fingerprint, held);
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    private static ItemJournal Open(string path, string fingerprint, OutputLock held)
    {
        if (File.Exists(path)) throw new RunFolderException($"`items` {path} exists; choose another name or delete it.");
        string journal = JournalOf(path), head = $"{{\"fingerprint\":\"{fingerprint}\"}}";
        var records = new List<ItemRecord>();
        if (File.Exists(journal))
        {
            string text = File.ReadAllText(journal);
            // A line that the end of a process cut off is not taken.
            string[] lines = text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
            if (lines.Length > 0 && lines[0] != head)
                throw new RunFolderException($"{journal} holds items of another request (model, data or options differ); delete it, or choose another name for `items`.");
            for (int i = 1; i < lines.Length; i++) records.Add(ItemFile.Parse(lines[i], $"'{journal}', line {i + 1}"));
        }
        AtomicFile.WriteAllText(journal, head + "\n" + Lines(records));
        var writer = new StreamWriter(new FileStream(journal, FileMode.Append, FileAccess.Write, FileShare.Read), new UTF8Encoding(false)) { NewLine = "\n" };
        return new ItemJournal(path, records, writer, held);
    }

    /// <summary>Keeps a record.</summary>
    public void Add(ItemRecord record)
    {
        _records.Add(record);
        _writer.WriteLine(record.ToJson());
        _writer.Flush();
    }

    /// <summary>Gives the result its name.</summary>
    public void Finish()
    {
        _writer.Dispose();
        AtomicFile.WriteAllText(_path, Lines(_records));
        File.Delete(Journal);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _writer.Dispose();
        _held.Dispose();
    }

    private static string Lines(List<ItemRecord> records) => string.Concat(records.Select(record => record.ToJson() + "\n"));

    private static string JournalOf(string path) => path + ".journal";
}
