using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Quantization.Storage;

/// <summary>
/// The working files of a run, under <c>.lrq</c> in the output folder: the fingerprint, one file per finished block, the calibration ids and the log.
/// A block's file appears by renaming, after its report: a block with a file is finished.
/// </summary>
public sealed class RunFolder
{
    /// <summary>Folder of working files within an output folder.</summary>
    public const string WorkName = OutputLock.WorkFolder;

    /// <summary>The report in an output folder; it is written last.</summary>
    public const string ReportName = "report.json";

    private const string TuningReportName = "tuning.json";

    private const string FingerprintName = "fingerprint.json";

    /// <summary>The recipe in an output folder.</summary>
    public const string RecipeName = "recipe.json";

    private RunFolder(string output) => Output = output;

    /// <summary>The output folder.</summary>
    public string Output { get; }

    /// <summary>Folder of the working files.</summary>
    public string Work => Path.Combine(Output, WorkName);

    /// <summary>The log, appended to by every session of the run.</summary>
    public string LogFile => Path.Combine(Work, "run.log");

    /// <summary>Opens the folder for a run, or continues the run it holds; the caller holds the folder (<see cref="OutputLock.TakeFolder"/>).</summary>
    /// <param name="output">The output folder; made when absent.</param>
    /// <param name="fingerprint">Identity of the run.</param>
    /// <param name="overwrite">Delete whatever another run left.</param>
    /// <exception cref="RunFolderException">The folder holds another run, or files that no run made.</exception>
    public static RunFolder Open(string output, RunFingerprint fingerprint, bool overwrite)
    {
        var folder = new RunFolder(Path.GetFullPath(output));
        if (File.Exists(folder.Output)) throw new RunFolderException($"{folder.Output} is a file; `out` names a folder.");
        string fingerprintFile = Path.Combine(folder.Work, FingerprintName);
        if (Directory.Exists(folder.Output) && Directory.EnumerateFileSystemEntries(folder.Output).Any())
        {
            RunFingerprint? found = RunFingerprint.TryRead(fingerprintFile);
            if (found is not null && found.Equals(fingerprint)) return folder;
            // A run that died before it had a fingerprint left nothing but an empty working folder; that of a finished run may have been deleted.
            if (found is null && !folder.HoldsOnlyWork() && !File.Exists(Path.Combine(folder.Output, RecipeName)))
                throw new RunFolderException($"{folder.Output} is not empty and holds no run; choose another `out`, or empty the folder yourself.");
            if (!overwrite && (found is not null || !folder.HoldsOnlyWork()))
            {
                throw new RunFolderException(
                    $"{folder.Output} holds another run ({found?.DifferenceTo(fingerprint) ?? "it cannot be said which"}); " +
                    "choose another `out`, or give `overwrite` to delete it.");
            }
            folder.Clear();
        }
        Directory.CreateDirectory(folder.BlocksFolder);
        fingerprint.Write(fingerprintFile);
        return folder;
    }

    /// <summary>Whether a block is finished.</summary>
    public bool HasBlock(int index) => File.Exists(BlockFile(index)) && File.Exists(ReportFile(index));

    /// <summary>Path of a finished block's tensors.</summary>
    public string BlockFile(int index) => Path.Combine(BlocksFolder, $"block-{index:D5}.safetensors");

    /// <summary>Path of what was found for a block before it was quantized.</summary>
    public string PreparedFile(int index) => Path.Combine(PreparedFolder, $"prepared-{index:D5}.safetensors");

    /// <summary>Stores it; a block's own file comes behind. It stays with a finished run, so that the run can be measured again.</summary>
    public void WritePrepared(int index, IReadOnlyList<PendingTensor> tensors)
    {
        Directory.CreateDirectory(PreparedFolder);
        SafetensorsWriter.Write(PreparedFile(index), tensors, SafetensorsWriter.PyTorchMetadata);
    }

    /// <summary>Path of a block's tensors as the result takes them: tuned where the model was tuned, else as the method made them.</summary>
    public string ResultFile(int index) => IsTuned ? Path.Combine(TunedFolder, Path.GetFileName(BlockFile(index))) : BlockFile(index);

    /// <summary>What tuning did, where it is finished; else null.</summary>
    /// <exception cref="InvalidDataException">Its report is damaged.</exception>
    public TuningReport? ReadTuning() => IsTuned
        ? StoredJson.Read(Path.Combine(TunedFolder, TuningReportName), PipelineJson.Default.TuningReport, $"delete {TunedFolder} to tune the model again")
        : null;

    /// <summary>What the sessions of the run so far have taken; nothing where no session said so.</summary>
    public RunEffort ReadEffort()
    {
        try
        {
            return File.Exists(EffortFile) ? StoredJson.Read(EffortFile, PipelineJson.Default.RunEffort, "delete it") : new RunEffort(0, 0);
        }
        catch (InvalidDataException)
        {
            // Nothing of the result depends on it.
            return new RunEffort(0, 0);
        }
    }

    /// <summary>Keeps what all sessions, this one included, have taken.</summary>
    public void WriteEffort(RunEffort effort) => AtomicFile.WriteAllBytes(EffortFile, JsonSerializer.SerializeToUtf8Bytes(effort, PipelineJson.Default.RunEffort));

    /// <summary>Stores the tuned blocks: aside first, so that they are there all at once or not at all.</summary>
    /// <param name="report">What tuning did.</param>
    /// <param name="tensors">The tensors of a block.</param>
    /// <param name="blocks">Number of blocks.</param>
    public void WriteTuned(TuningReport report, Func<int, IReadOnlyList<PendingTensor>> tensors, int blocks)
    {
        string aside = TunedFolder + ".partial";
        if (Directory.Exists(aside)) Directory.Delete(aside, recursive: true);
        Directory.CreateDirectory(aside);
        for (int i = 0; i < blocks; i++) SafetensorsWriter.Write(Path.Combine(aside, Path.GetFileName(BlockFile(i))), tensors(i), SafetensorsWriter.PyTorchMetadata);
        AtomicFile.WriteAllBytes(Path.Combine(aside, TuningReportName), JsonSerializer.SerializeToUtf8Bytes(report, PipelineJson.Default.TuningReport));
        Directory.Move(aside, TunedFolder);
    }

    /// <summary>Stores a finished block: its report, then its tensors, each by writing aside and renaming.</summary>
    public void WriteBlock(int index, IReadOnlyList<PendingTensor> tensors, BlockReport report)
    {
        AtomicFile.WriteAllBytes(ReportFile(index), JsonSerializer.SerializeToUtf8Bytes(report, PipelineJson.Default.BlockReport));
        SafetensorsWriter.Write(BlockFile(index), tensors, SafetensorsWriter.PyTorchMetadata);
    }

    /// <summary>Path of the tensors of something beside the blocks, such as the output head.</summary>
    /// <param name="part">Its name.</param>
    public string PartFile(string part) => Path.Combine(BlocksFolder, $"{part}.safetensors");

    /// <summary>Whether something beside the blocks is finished.</summary>
    public bool HasPart(string part) => File.Exists(PartFile(part)) && File.Exists(PartReportFile(part));

    /// <summary>Stores something beside the blocks: its report, then its tensors, each by writing aside and renaming.</summary>
    public void WritePart(string part, IReadOnlyList<PendingTensor> tensors, VocabularyReport report)
    {
        AtomicFile.WriteAllBytes(PartReportFile(part), JsonSerializer.SerializeToUtf8Bytes(report, PipelineJson.Default.VocabularyReport));
        SafetensorsWriter.Write(PartFile(part), tensors, SafetensorsWriter.PyTorchMetadata);
    }

    /// <summary>The report of something beside the blocks that is finished.</summary>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public VocabularyReport ReadPartReport(string part) =>
        StoredJson.Read(PartReportFile(part), PipelineJson.Default.VocabularyReport, $"delete {PartFile(part)} to compute it again");

    /// <summary>The report of a finished block.</summary>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public BlockReport ReadReport(int index) => StoredJson.Read(ReportFile(index), PipelineJson.Default.BlockReport, $"delete {BlockFile(index)} to compute the block again");

    /// <summary>Whether a folder holds a run of this fingerprint.</summary>
    public static bool Holds(string output, RunFingerprint fingerprint) =>
        RunFingerprint.TryRead(Path.Combine(Path.GetFullPath(output), WorkName, FingerprintName)) is { } found && found.Equals(fingerprint);

    /// <summary>
    /// Deletes the block files once the result holds their tensors. Of a tuned model the result holds other scales and branches than the blocks had: those stay, so that
    /// single blocks can be done again.
    /// </summary>
    public void RemoveBlocks()
    {
        if (IsTuned && Directory.Exists(BlocksFolder)) KeepUntuned();
        DeleteBlocks();
    }

    /// <summary>Deletes the block files and everything else of a run that goes on; nothing of them is looked at.</summary>
    public void DeleteBlocks()
    {
        if (Directory.Exists(BlocksFolder)) Directory.Delete(BlocksFolder, recursive: true);
        if (IsTuned) Directory.Delete(TunedFolder, recursive: true);
        File.Delete(TuningStateFile);
        File.Delete(EffortFile);
        File.Delete(EarlierReport);
    }

    /// <summary>Makes room for block files where a finished run has none any more.</summary>
    public void MakeBlocks() => Directory.CreateDirectory(BlocksFolder);

    /// <summary>The folder of a run that is there; null where there is none.</summary>
    /// <param name="output">The output folder.</param>
    /// <param name="fingerprint">Identity of the run; null where it cannot be read.</param>
    public static RunFolder? Find(string output, out RunFingerprint? fingerprint)
    {
        var folder = new RunFolder(Path.GetFullPath(output));
        fingerprint = RunFingerprint.TryRead(Path.Combine(folder.Work, FingerprintName));
        return Directory.Exists(folder.Work) ? folder : null;
    }

    /// <summary>The report of the result that is there while blocks of it are done again.</summary>
    public string EarlierReport => Path.Combine(Work, "report.earlier.json");

    /// <summary>Makes a finished run one that goes on, under another identity, from the block files that were restored.</summary>
    public void Reopen(RunFingerprint fingerprint)
    {
        // What is killed in between has an earlier report, and is the finished run again with it in its place.
        File.Move(Path.Combine(Output, ReportName), EarlierReport, overwrite: true);
        fingerprint.Write(Path.Combine(Work, FingerprintName));
    }

    /// <summary>Whether scales and branches of blocks before the model was tuned are there.</summary>
    public bool HasUntuned => Directory.Exists(UntunedFolder);

    /// <summary>Those tensors of a block that tuning changed, as they were before; null where there are none. The caller disposes of it.</summary>
    public SafetensorsFile? OpenUntuned(int index) => Path.Combine(UntunedFolder, Path.GetFileName(BlockFile(index))) is var file && File.Exists(file) ? SafetensorsFile.Open(file) : null;

    private string UntunedFolder => Path.Combine(Work, "untuned");

    private void KeepUntuned()
    {
        Directory.CreateDirectory(UntunedFolder);
        foreach (string path in Directory.EnumerateFiles(TunedFolder, "block-*.safetensors"))
        {
            using SafetensorsFile tuned = SafetensorsFile.Open(path), before = SafetensorsFile.Open(Path.Combine(BlocksFolder, Path.GetFileName(path)));
            SafetensorsWriter.Write(
                Path.Combine(UntunedFolder, Path.GetFileName(path)), [.. before.Names.Where(name => Differs(before, tuned, name)).Select(name => PendingTensor.Copy(before, name))], SafetensorsWriter.PyTorchMetadata);
        }
    }

    private static bool Differs(SafetensorsFile one, SafetensorsFile other, string name)
    {
        if (!other.Contains(name) || one.Tensors[name].ByteLength != other.Tensors[name].ByteLength) return true;
        const int part = 1 << 20;
        long length = one.Tensors[name].ByteLength;
        for (long at = 0; at < length; at += part)
        {
            int size = (int)Math.Min(part, length - at);
            if (!one.GetBytes(name, at, size).SequenceEqual(other.GetBytes(name, at, size))) return true;
        }
        return false;
    }

    /// <summary>Where tuning stands while it goes on.</summary>
    public string TuningStateFile => Path.Combine(Work, "tuning.safetensors");

    private string EffortFile => Path.Combine(Work, "effort.json");

    private bool IsTuned => Directory.Exists(TunedFolder);

    private string TunedFolder => Path.Combine(Work, "tuned");

    private string PreparedFolder => Path.Combine(Work, "prepared");

    private string BlocksFolder => Path.Combine(Work, "blocks");

    private string PartReportFile(string part) => Path.Combine(BlocksFolder, $"{part}.json");

    private string ReportFile(int index) => Path.Combine(BlocksFolder, $"block-{index:D5}.json");

    private bool HoldsOnlyWork() =>
        Directory.EnumerateFileSystemEntries(Output).All(entry => Path.GetFileName(entry) == WorkName) &&
        (!Directory.Exists(BlocksFolder) || !Directory.EnumerateFileSystemEntries(BlocksFolder).Any());

    // In an order that can be interrupted: the report goes first, so that what is left does not pass for a finished run, and the fingerprint last, so
    // that it still passes for a run.
    private void Clear()
    {
        File.Delete(Path.Combine(Output, ReportName));
        foreach (string file in Directory.EnumerateFiles(Output)) File.Delete(file);
        foreach (string folder in Directory.EnumerateDirectories(Output))
        {
            if (Path.GetFileName(folder) != WorkName) Directory.Delete(folder, recursive: true);
        }
        DeleteBlocks();
        if (!Directory.Exists(Work)) return;
        // The lock stays with the process that clears.
        foreach (string folder in Directory.EnumerateDirectories(Work)) Directory.Delete(folder, recursive: true);
        foreach (string file in Directory.EnumerateFiles(Work).OrderBy(file => Path.GetFileName(file) == FingerprintName))
        {
            if (Path.GetFileName(file) != OutputLock.FileName) File.Delete(file);
        }
    }
}

/// <summary>What a run took, all its sessions together.</summary>
/// <param name="Seconds">Wall time.</param>
/// <param name="PeakMemoryBytes">The largest resident memory of any of its processes.</param>
public sealed record RunEffort(double Seconds, long PeakMemoryBytes);
