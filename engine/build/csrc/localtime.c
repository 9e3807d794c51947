// localtime_r from the host's UTC offset; gmtime_r without any host.
#include <time.h>

#include "heddle.h"

static const unsigned short heddle_days_before[12] = {
    0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};

struct tm* gmtime_r(const time_t* timer, struct tm* out) {
  int64_t t = *timer;
  int64_t days = t / 86400;
  int rest = (int)(t % 86400);
  if (rest < 0) {
    rest += 86400;
    days--;
  }
  out->tm_hour = rest / 3600;
  out->tm_min = rest / 60 % 60;
  out->tm_sec = rest % 60;
  out->tm_wday = (int)((days % 7 + 11) % 7);  // 1970-01-01 was a Thursday.

  // Days since 0000-03-01, in the proleptic Gregorian calendar.
  int64_t z = days + 719468;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  int doe = (int)(z - era * 146097);
  int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  int mp = (5 * doy + 2) / 153;
  int month = mp < 10 ? mp + 2 : mp - 10;  // 0 is January.
  int64_t year = yoe + era * 400 + (month <= 1);
  out->tm_mday = doy - (153 * mp + 2) / 5 + 1;
  out->tm_mon = month;
  out->tm_year = (int)(year - 1900);
  int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  out->tm_yday = heddle_days_before[month] + out->tm_mday - 1 + (leap && month > 1);
  out->tm_isdst = 0;
  out->tm_gmtoff = 0;
  out->tm_zone = NULL;
  return out;
}

struct tm* localtime_r(const time_t* timer, struct tm* out) {
  int offset = go_utc_offset(*timer);
  time_t shifted = *timer + offset;
  gmtime_r(&shifted, out);
  out->tm_isdst = -1;  // Not known; SQLite does not ask.
  out->tm_gmtoff = offset;
  return out;
}
